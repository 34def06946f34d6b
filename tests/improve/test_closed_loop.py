"""Gains fitted on the states that replay visits: against closed forms, and against numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.predictors import Terms, adams_terms
from meancache_plan.core.reweighted import MAX_WEIGHT, ROUNDS
from meancache_plan.errors import InputError
from meancache_plan.improve.closed_loop import fit, plain, prior_gains, with_gains
from meancache_plan.improve.dealt_samples import final_errors, spread_rows
from meancache_plan.plan.simple_plans import adams_plan
from meancache_runtime import integrate
from meancache_runtime.binding import LinearForm
from meancache_runtime.predictors import Adams, Hold, Jvp
from meancache_runtime.schedule import Grid, Plan, Schedule
from tests.fields import Field, euler, mixture, noise, polynomial, shifted_grid
from tests.improve.flow_ensemble import FlowEnsemble
from tests.improve.refinement import Overflowing

Array = NDArray[np.float64]

GRID = shifted_grid(12)
KNOTS = (0, 2, 5, 8)
PLAIN = prior_gains(adams_plan(KNOTS)) or []


def flow(field: Field, samples: int = 4, numel: int = 16, seed: int = 1) -> FlowEnsemble:
    return FlowEnsemble(field, noise(samples, numel, seed), GRID)


def replayed(field: Field, start: Tensor, plan: Plan) -> Array:
    """Mean squared error of a plan on each sample, by the runtime."""
    schedule = Schedule(None, Grid(len(GRID) - 1, GRID, 0.0), (plan,))
    full = euler(field, start, GRID)[0][-1]
    found = integrate(field, start, schedule, budget=plan.budget)
    return (found - full).square().mean(dim=1).numpy()


@pytest.mark.parametrize("knots", [(0, 1, 2), (0, 2, 5), (0, 4, 8), (0, 2, 5, 8), (0, 1, 3, 6, 9)])
def test_a_velocity_quadratic_in_sigma_is_followed_to_its_end(knots: tuple[int, ...]) -> None:
    # Three terms span all of σ⁰, σ¹, σ²: the last interval mends whatever went wrong before it.
    torch.manual_seed(0)
    field = polynomial(torch.randn(3, 16, dtype=torch.float64))
    plan = adams_plan(knots)
    before = replayed(field, noise(4), plan)
    found = fit(flow(field), range(4), knots, prior_gains(plan) or [], order=3, shrinkage=1e-14)
    after = replayed(field, noise(4), with_gains(plan, found.gains))
    assert before.min() > 1e-6
    assert after.max() < 1e-18


def test_fitted_gains_beat_plain_adams_on_other_noise() -> None:
    plan = adams_plan(KNOTS)
    found = fit(flow(mixture(), 24), range(24), KNOTS, PLAIN, order=3, shrinkage=0.1)
    other = noise(24, seed=9)
    unfitted = replayed(mixture(), other, plan)
    fitted = replayed(mixture(), other, with_gains(plan, found.gains))
    assert 10 * np.log10(unfitted / fitted).mean() > 6
    assert np.median(unfitted / fitted) > 4


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_huge_shrinkage_gives_back_the_prior_gains(order: int) -> None:
    prior = [(0.9,), (1.1, 0.7), (0.8, 1.2, 0.4), (1.0, 1.0)]
    padded = [(*gains, 0.0, 0.0)[: min(order, n + 1)] for n, gains in enumerate(prior)]
    found = fit(flow(mixture()), range(4), KNOTS, prior, order=order, shrinkage=1e12)
    assert [len(gains) for gains in found.gains] == [len(gains) for gains in padded]
    for gains, wanted in zip(found.gains, padded, strict=True):
        assert gains == pytest.approx(wanted, abs=1e-8)


def newton_terms(steps: Sequence[int], end: int, known: dict[int, Array]) -> list[Array]:
    """The first, second and third Adams term of the interval from the last of ``steps``."""
    sigma = np.array(GRID)
    t = steps[-1]
    weights = np.diff(sigma)[t:end] / (sigma[end] - sigma[t])
    inside = sigma[t:end]
    if len(steps) == 1:
        return [known[t]]
    r = steps[-2]
    slope = (known[t] - known[r]) / (sigma[t] - sigma[r])
    two = [known[t], float(weights @ (inside - sigma[t])) * slope]
    if len(steps) == 2:
        return two
    q = steps[-3]
    older = (known[r] - known[q]) / (sigma[r] - sigma[q])
    bend = (slope - older) / (sigma[t] - sigma[q])
    return [*two, float(weights @ ((inside - sigma[t]) * (inside - sigma[r]))) * bend]


def ridge(parts: Array, missing: Array, prior: Array, shrinkage: float) -> Array:
    """Reweighted least squares of missing [S, N] by parts [S, N, p], ridge rows stacked below."""
    weights = np.ones(len(missing))
    gains = prior
    for _ in range(ROUNDS + 1):
        root = np.sqrt(weights)[:, None]
        size = np.sqrt(shrinkage * (weights[:, None, None] * parts**2).sum(axis=(0, 1)))
        rows = np.vstack([(root[..., None] * parts).reshape(-1, len(prior)), np.diag(size)])
        wanted = np.concatenate([(root * missing).ravel(), size * prior])
        gains = np.linalg.lstsq(rows, wanted, rcond=None)[0].astype(np.float64)
        errors = ((missing - parts @ gains) ** 2).sum(axis=1)
        weights = np.minimum(np.median(errors) / errors, MAX_WEIGHT)
    return gains


def test_every_interval_is_the_weighted_least_squares_solution_along_the_replay() -> None:
    found = fit(flow(mixture(), 5), range(5), KNOTS, PLAIN, order=3, shrinkage=0.05)
    full = euler(mixture(), noise(5), GRID)[0].numpy()
    latents, known = full[0], dict[int, Array]()
    for n, (start, end) in enumerate(zip(KNOTS, (*KNOTS[1:], 12), strict=True)):
        known[start] = mixture()(torch.from_numpy(latents), GRID[start]).numpy()
        terms = newton_terms(KNOTS[max(0, n - 2) : n + 1], end, known)
        parts = (GRID[end] - GRID[start]) * np.stack(terms, axis=-1)
        prior = np.array([*PLAIN[n], 0.0, 0.0][: len(terms)])
        gains = ridge(parts, full[end] - latents, prior, 0.05)
        assert found.gains[n] == pytest.approx(gains, rel=1e-6, abs=1e-9)
        latents = latents + parts @ gains


def test_an_interval_of_one_step_has_one_term() -> None:
    knots = (0, 1, 2, 5, 6, 11)
    prior = prior_gains(adams_plan(knots)) or []
    found = fit(flow(mixture()), range(4), knots, prior, order=3, shrinkage=0.1)
    assert [len(gains) for gains in found.gains] == [1, 1, 3, 1, 3, 1]
    assert found.gains[0] == pytest.approx((1.0,))


def test_reported_errors_are_those_of_replaying_the_fitted_plan() -> None:
    found = fit(flow(mixture(), 6), (1, 2, 5), KNOTS, PLAIN, order=3, shrinkage=0.01)
    errors = replayed(mixture(), noise(6), with_gains(adams_plan(KNOTS), found.gains))
    assert found.errors == pytest.approx(errors[[1, 2, 5]], rel=1e-9)


def test_a_sample_that_overflows_has_no_say_and_an_infinite_error() -> None:
    ensemble = Overflowing(mixture(), noise(5), GRID)
    with_it = fit(ensemble, range(5), KNOTS, PLAIN, order=3, shrinkage=0.1)
    without = fit(ensemble, (0, 1, 3, 4), KNOTS, PLAIN, order=3, shrinkage=0.1)
    assert with_it.errors[2] == np.inf
    assert np.delete(with_it.errors, 2) == pytest.approx(without.errors)
    for gains, wanted in zip(with_it.gains, without.gains, strict=True):
        assert gains == pytest.approx(wanted)


def test_a_plan_that_overflows_has_an_infinite_error_and_stops_nobody() -> None:
    ensemble = FlowEnsemble(mixture(), noise(3), GRID)
    ensemble._velocity = lambda latents, _sigma: latents * torch.inf
    plan = adams_plan(KNOTS)
    schedule = Schedule(None, Grid(len(GRID) - 1, GRID, 0.0), (plan,))
    found = ensemble.replay(range(3), schedule, plan.budget)
    assert np.isinf(final_errors(ensemble, range(3), found)).all()


def test_if_every_sample_overflows_the_prior_gains_stay() -> None:
    found = fit(Overflowing(mixture(), noise(3), GRID), [2], KNOTS, PLAIN, order=2, shrinkage=0.1)
    assert found.gains == PLAIN


@pytest.mark.parametrize("degree", [0, 1])
def test_terms_that_vanish_get_gains_that_a_schedule_can_hold(degree: int) -> None:
    field = polynomial(torch.ones(degree + 1, 16, dtype=torch.float64))
    found = fit(flow(field), range(4), KNOTS, PLAIN, order=3, shrinkage=0.01)
    plan = adams_plan(KNOTS)
    fitted = replayed(field, noise(4), with_gains(plan, found.gains))
    assert (fitted <= replayed(field, noise(4), plan) + 1e-20).all()


def test_a_velocity_of_zero_keeps_the_prior_gains() -> None:
    field = polynomial(torch.zeros(1, 16, dtype=torch.float64))
    found = fit(flow(field), range(4), KNOTS, PLAIN, order=2, shrinkage=0.01)
    assert found.gains == PLAIN


def test_hold_is_order_1_and_a_window_has_no_gains() -> None:
    hold, jvp = Hold(), Jvp(1)
    assert prior_gains(Plan(2, (0, 3), (hold, hold))) == [(1.0,), (1.0,)]
    assert prior_gains(Plan(2, (0, 3), (hold, jvp))) is None


def test_new_gains_take_the_place_of_the_old_ones() -> None:
    plan = adams_plan(KNOTS)
    gains = [(0.9,), (1.1, 0.7), (0.8, 1.2, 0.4), (1.0,)]
    found = with_gains(plan, gains)
    assert prior_gains(found) == gains
    assert (found.knots, found.budget) == (KNOTS, 4)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 4))
def test_no_prompt_is_in_two_parts_and_every_row_is_in_one(prompts: list[int], parts: int) -> None:
    index = np.array(prompts)
    if len(set(prompts)) < parts:
        with pytest.raises(InputError, match="refine with more calibration prompts"):
            spread_rows(index, parts)
        return
    found = spread_rows(index, parts)
    shares = [set(index[rows].tolist()) for rows in found]
    assert sorted(row for rows in found for row in rows) == list(range(len(prompts)))
    assert sum(map(len, shares)) == len(set(prompts))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_prompt_cannot_be_split_whatever_its_seeds() -> None:
    with pytest.raises(InputError, match="prompts: 1, too few for 2 parts that share none"):
        spread_rows(np.zeros(8, dtype=np.int64))


def test_gains_aimed_at_a_finer_run_lead_nearer_to_its_end_than_others_do() -> None:
    knots = (0, 2, 4, 6, 8, 10)
    start, plan, prior = noise(24), adams_plan(knots), prior_gains(adams_plan(knots)) or []
    fine = FlowEnsemble(mixture(), start, GRID, finer=shifted_grid(240))
    exact = euler(mixture(), start, shifted_grid(240))[0][-1]
    torch.testing.assert_close(fine.full(range(24), len(GRID) - 1), exact)
    found = fit(fine, range(24), knots, prior, order=3, shrinkage=0.01)
    other = fit(flow(mixture(), 24), range(24), knots, prior, order=3, shrinkage=0.01)
    grid = Grid(len(GRID) - 1, GRID, 0.0)
    schedule = Schedule(None, grid, (with_gains(plan, other.gains),))
    ends = integrate(mixture(), start, schedule, budget=plan.budget)
    errors = (ends - exact).square().mean(dim=1).numpy()
    assert np.log(found.errors).mean() < np.log(errors).mean() - 0.2


def slow_terms(*of: Any) -> list[LinearForm]:
    """Those of Adams–Bashforth, the second of which is a quarter as large."""
    first, *second = adams_terms(*of)
    return [first, *({knot: weight / 4 for knot, weight in form.items()} for form in second)]


def slow(gains: tuple[float, ...]) -> Adams:
    """What replays as these gains of such terms."""
    return Adams((gains[0], *(gain / 4 for gain in gains[1:])))


SLOW = Terms("slow", slow_terms, slow, lambda _: None, most=2)


def test_gains_of_another_rules_terms_are_fitted_to_what_it_replays() -> None:
    found = fit(flow(mixture(), 6), range(6), KNOTS, PLAIN, order=3, shrinkage=0.01, terms=SLOW)
    assert max(map(len, found.gains)) == 2
    intervals = tuple(map(SLOW.scaled, found.gains))
    errors = replayed(mixture(), noise(6), replace(adams_plan(KNOTS), intervals=intervals))
    assert errors == pytest.approx(found.errors)


def test_a_plain_plan_has_neither_the_gains_nor_the_bounds_of_the_plan_that_it_is_from() -> None:
    plan = replace(with_gains(adams_plan(KNOTS), PLAIN), innovation=(1.0,) * (len(KNOTS) - 1))
    others = tuple(knot + 1 if knot else 0 for knot in KNOTS)
    fitted = with_gains(plan, [tuple(gain / 2 for gain in own) for own in PLAIN])
    assert plain(fitted, others) == replace(plan, knots=others, innovation=None)
