"""Steps that are not Euler's: what is planned from Gram matrices is what the tensors say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from meancache_plan import load_profile, merge_profiles, profile_flow, save_profile, solve
from meancache_plan.core.deviation import windows
from meancache_plan.core.gains import fit_gains
from meancache_plan.core.interval_costs import sample_costs
from meancache_plan.core.objective import WEIGHTINGS, Objective
from meancache_plan.core.parallel_edges import parallel_edges
from meancache_plan.core.predictors import PREDICTORS, SHRINKAGE
from meancache_plan.core.psnr import CEILING
from meancache_plan.errors import ProfileError
from meancache_plan.measure.profile import Profile, measure
from meancache_plan.plan.plan_budgets import plan_budgets
from meancache_plan.plan.planners import find_planner
from meancache_plan.plan.predict import misses
from meancache_plan.plan.reliability import with_reliability
from meancache_plan.plan.resample import plan_draws
from meancache_runtime.binding import bind
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Plan
from tests.fields import mixture, noise, shifted_grid
from tests.trajectories import (
    Array,
    Trajectories,
    applied,
    deviation,
    heun_trajectories,
    line_graph,
    mean_velocity,
)

T = 8


@pytest.fixture(scope="module")
def seen() -> Trajectories:
    return heun_trajectories(T)


@pytest.fixture(scope="module")
def finer() -> Profile:
    """A profile of the mixture's flow whose finer run has ten times the steps."""
    return profile_flow(mixture(), noise(8), shifted_grid(T), finer=shifted_grid(10 * T))


def replacing(profile: Profile) -> Profile:
    """The same measurements, of a sampler whose steps plans are to replace."""
    update = {"replaces": "UniPCMultistepScheduler", "finer_steps": None}
    return replace(profile, settings=profile.settings.model_copy(update=update))


def terms(seen: Trajectories, r: int, t: int, s: int) -> list[Array]:
    """v_t, and (h/2)·(v_t − v_r)/(σ_t − σ_r): the textbook's two terms, each [S, N]."""
    h, v = seen.sigmas[s] - seen.sigmas[t], seen.velocities
    slope = (v[:, t] - v[:, r]) / (seen.sigmas[t] - seen.sigmas[r]) if r < t else 0 * v[:, t]
    return [v[:, t], h / 2 * slope]


def ridge(parts: Sequence[Array], missed: Array, shrinkage: float) -> Array:
    """What the best multiples of these parts are, less 1, pulled towards 0."""
    flat = [part.ravel() for part in parts]
    pulls = np.diag([np.sqrt(shrinkage) * np.linalg.norm(part) for part in flat])
    rows = np.vstack([np.stack(flat, axis=1), pulls])
    return np.linalg.lstsq(rows, np.append(missed.ravel(), [0.0] * len(flat)), rcond=None)[0]


def predicted(seen: Trajectories, name: str, r: int, t: int, s: int) -> Array:
    """û of t→s after r→t, [S, N]."""
    first, second = terms(seen, r, t, s)
    if name == "hold":
        return first
    if name == "adams":
        return first + second
    missed = mean_velocity(seen, t, s) - first - second
    alpha, beta = 1 + ridge([first, second], missed, SHRINKAGE)
    return alpha * first + beta * second


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", find_planner("path").predictors)
def test_an_arc_costs_what_its_prediction_misses_of_where_the_steps_led(
    seen: Trajectories, name: str, weighting: str
) -> None:
    graph = line_graph(seen, Objective((name,), weighting=weighting))
    for r, t, s in combinations(range(T + 1), 3):
        costs = deviation(seen, predicted(seen, name, r, t, s), t, s, weighting)
        assert graph.arcs[r, t, s] == pytest.approx(costs.mean(), rel=1e-8)
        assert graph.arcs[r, t, s] > 0
    for s in range(1, T + 1):
        costs = deviation(seen, seen.velocities[:, 0], 0, s, weighting)
        assert graph.first[s] == pytest.approx(costs.mean(), rel=1e-8)


def test_an_edge_costs_what_its_prediction_misses_of_where_the_steps_led(
    seen: Trajectories,
) -> None:
    edges = parallel_edges(combinations(range(T + 1), 2), tuple(PREDICTORS), 6, displaced=True)
    assert {e.predictor for e in edges if e.start and e.end == e.start + 1} == {
        "hold",
        "adams",
        "fitted",
    }
    found = sample_costs(seen, Objective(("hold",), weighting="width"), edges)
    for column, edge in enumerate(edges):
        if edge.predictor in ("adams", "fitted"):
            u_hat = sum(terms(seen, edge.start - edge.window, edge.start, edge.end))
        else:
            form = PREDICTORS[edge.predictor].form(seen.sigmas, *edge[:2], edge.window, True)
            u_hat = applied(seen, form)
        expected = deviation(seen, u_hat, edge.start, edge.end, "width")
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-7)


def test_l1_is_measured_against_where_the_steps_led(seen: Trajectories) -> None:
    index = windows(T, T, 3)
    assert seen.moved is not None
    columns = torch.from_numpy(np.concatenate([seen.velocities[0], seen.moved[0]]))
    found = measure(columns, seen.sigmas, index)
    np.testing.assert_allclose(found.gram, seen.grams[0], rtol=1e-12)
    for value, (t, s, window) in zip(found.l1, index, strict=True):
        name = "jvp" if window else "hold"
        form = PREDICTORS[name].form(seen.sigmas, t, s, window, True)
        u_hat = sum(weight * seen.velocities[0, step] for step, weight in form.items())
        expected = np.abs(mean_velocity(seen, t, s)[0] - u_hat).mean()
        assert value == pytest.approx(expected, rel=1e-5)


def test_the_shortest_path_is_the_lightest_of_all_plans(seen: Trajectories) -> None:
    objective = Objective(("hold", "adams"), gamma=2.0)
    plans = plan_budgets(seen, objective, "path", [1, 3, T])
    for budget, [found] in plans.items():
        costs = [
            _cost(seen, (0, *later), T)
            for size in range(budget)
            for later in combinations(range(1, T), size)
        ]
        assert found.cost == pytest.approx(min(costs), rel=1e-8)


def _cost(seen: Trajectories, knots: tuple[int, ...], end: int) -> float:
    """Σ C² with the cheaper predictor of each interval."""
    total = deviation(seen, seen.velocities[:, 0], 0, (*knots, end)[1], "propagated").mean() ** 2
    for r, t, s in zip(knots, knots[1:], (*knots[2:], end), strict=False):
        costs = [
            deviation(seen, predicted(seen, name, r, t, s), t, s, "propagated").mean()
            for name in ("hold", "adams")
        ]
        total += min(costs) ** 2
    return total


@pytest.mark.parametrize("knots", [(0, 2, 5), (0, 1, 2, 3, 7), tuple(range(T))])
def test_gains_are_the_least_squares_fit_to_where_the_steps_led(
    seen: Trajectories, knots: tuple[int, ...]
) -> None:
    orders = [min(2, n + 1) for n in range(len(knots))]
    found = fit_gains(seen, knots, orders, "width")
    plan = Plan(len(knots), knots, tuple(map(Adams, found.gains)))
    bound = bind(plan, seen.sigmas, displaced=True)
    for n, (t, s) in enumerate(zip(knots, (*knots[1:], T), strict=True)):
        parts = terms(seen, knots[n - 1] if n else 0, t, s)[: orders[n]]
        missed = mean_velocity(seen, t, s) - sum(parts)
        multiples = 1 + ridge(parts, missed, found.shrinkage)
        expected = sum(g * part for g, part in zip(multiples, parts, strict=True))
        np.testing.assert_allclose(applied(seen, bound.forms[t]), expected, atol=1e-7)


def test_a_plan_of_adams_is_the_textbooks_with_gains_of_1(seen: Trajectories) -> None:
    objective = Objective(("adams",), gamma=2.0)
    for found in plan_budgets(seen, objective, "path", [4, T]).values():
        first, *others = found[0].plan.intervals
        assert first == Hold()
        assert set(others) == {Adams((1.0, 1.0))}


def test_misses_are_what_each_interval_lacks_of_where_the_steps_led(seen: Trajectories) -> None:
    knots = (0, 1, 4)
    plan = Plan(3, knots, (Hold(), Hold(), Adams((0.9, 1.4))))
    found = misses(plan, seen.sigmas, seen.displacements)
    columns = np.concatenate([seen.velocities, seen.moved], axis=1)
    assert found.ends.tolist() == [1, 4, T]
    for weights, t, s in zip(found.weights, knots, (1, 4, T), strict=True):
        u_hat = seen.velocities[:, t]
        if t == 4:
            first, second = terms(seen, 1, t, s)
            u_hat = 0.9 * first + 1.4 * second
        expected = (seen.sigmas[s] - seen.sigmas[t]) * (mean_velocity(seen, t, s) - u_hat)
        np.testing.assert_allclose(np.tensordot(columns, weights, (1, 0)), expected, atol=1e-10)


def test_a_profile_of_other_steps_survives_its_file_and_knows_its_columns(
    finer: Profile, tmp_path: Path
) -> None:
    save_profile(finer, tmp_path / "p")
    again = load_profile(tmp_path / "p")
    assert again.fingerprint == finer.fingerprint
    assert again.displacements == range(T, 2 * T)
    assert again.grams.shape == (8, 2 * T, 2 * T)
    assert merge_profiles([again]).fingerprint == finer.fingerprint


@pytest.mark.parametrize(
    ("update", "match"),
    [
        ({"displaced": False}, "finer_steps: displacements were not measured"),
        ({"finer_steps": T}, "8 are no more than the steps"),
        ({"finer_steps": None}, "neither replaces nor finer_steps"),
        ({"switches": (3, 3)}, "switches: must be strictly ascending"),
        ({"switches": (T,)}, "switches: must be strictly ascending"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(
    finer: Profile, update: dict[str, object], match: str
) -> None:
    told = finer.settings.model_dump() | update
    with pytest.raises(ValueError, match=match):
        type(finer.settings).model_validate(told)


def test_grams_of_the_velocities_alone_are_refused_for_other_steps(finer: Profile) -> None:
    with pytest.raises(ProfileError, match=r"grams: has shape \[8, 8, 8\]"):
        replace(finer, grams=finer.grams[:, :T, :T].copy())


def test_with_all_steps_a_replaced_sampler_is_left_to_itself(finer: Profile) -> None:
    schedule = with_reliability(replacing(finer), solve(replacing(finer), [3, T]))
    assert schedule.grid.replaces == "UniPCMultistepScheduler"
    every = schedule.plans[-1]
    assert every.knots == tuple(range(T))
    assert set(every.intervals) == {Hold()}
    assert every.cost == 0.0
    assert schedule.provenance is not None
    record = schedule.provenance.record(T)
    assert record is not None
    assert record.predicted is not None
    assert record.predicted.psnr_latent == CEILING
    assert record.stability is None
    assert solve(finer, [T]).grid.replaces is None
    assert (solve(finer, [T]).plans[0].cost or 0) > 0


def test_resampled_plans_are_those_of_the_planner(seen: Trajectories) -> None:
    everything = np.ones((1, len(seen.velocities)), dtype=np.int64)
    for planner, names in (("path", ("fitted",)), ("pssp", ("hold", "jvp"))):
        objective = Objective(names, gamma=2.0)
        [again] = plan_draws(seen, objective, planner, everything, [2, 4])
        for budget, [found] in plan_budgets(seen, objective, planner, [2, 4]).items():
            assert tuple(each.start for each in again[budget]) == found.plan.knots
