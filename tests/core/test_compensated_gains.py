"""Gains by which each interval makes up for what those before it missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from meancache_plan.core import compensated_gains
from meancache_plan.core.compensated_gains import ORDER, SHRINKAGE, compensate_gains
from meancache_plan.core.gains import fit_gains
from meancache_plan.core.predictors import ADAMS
from meancache_plan.core.reweighted import MAX_GAIN, Equations, solve
from tests.trajectories import (
    Array,
    Trajectories,
    heun_trajectories,
    mean_velocity,
    mixture_trajectories,
    of,
    term,
)

KNOTS = (0, 2, 3, 5, 8)


def by_vectors(seen: Trajectories, rows: Array, knots: Sequence[int], growth: Array) -> Array:
    """What the same fit misses of z_T, from the vectors themselves, float64 [S, N]."""
    ends = (*knots[1:], seen.steps)
    missed = np.zeros_like(seen.velocities[:, 0])
    for n, (start, end) in enumerate(zip(knots, ends, strict=True)):
        h = seen.sigmas[end] - seen.sigmas[start]
        count = 1 if end == start + 1 and seen.moved is None else min(ORDER, n + 1)
        parts = [h * term(seen, knots[: n + 1], end, j) for j in range(count)]
        target = h * mean_velocity(seen, start, end) + growth[start] / growth[end] * missed
        stacked = np.stack([*parts, target], axis=1)
        products = (stacked @ stacked.swapaxes(1, 2))[rows]
        prior = np.array([1.0, 1.0, 0.0, 0.0][:count])
        own = solve(Equations.of(products), prior, SHRINKAGE)
        missed = target - sum(gain * part for gain, part in zip(own, parts, strict=True))
    return missed


def geometric_mean(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


@pytest.mark.parametrize("make", [mixture_trajectories, heun_trajectories])
@pytest.mark.parametrize("grown", [False, True])
def test_both_figures_are_those_of_the_vectors(
    make: Callable[..., Trajectories], grown: bool
) -> None:
    seen = make(11, samples=7)
    growth = seen.growth if grown else np.ones(12)
    found = compensate_gains(seen, KNOTS, growth)
    alone = by_vectors(seen, np.full(7, True), KNOTS, growth)
    apart = np.empty_like(alone)
    for prompt in set(seen.prompt_index.tolist()):
        mine = seen.prompt_index == prompt
        apart[mine] = by_vectors(seen, ~mine, KNOTS, growth)[mine]
    for figure, missed in ((found.fitted, alone), (found.cross_validated, apart)):
        squares = np.square(missed).mean(axis=1)
        assert figure == pytest.approx(np.sqrt(geometric_mean(squares)), rel=1e-6)


def decibels(seen: Trajectories, scales: Sequence[Sequence[float]]) -> Array:
    """−10·log₁₀ of what a plan with these gains misses of z_T on the full runs' velocities, [S]."""
    total = np.zeros_like(seen.velocities[:, 0])
    for n, (start, end) in enumerate(zip(KNOTS, (*KNOTS[1:], seen.steps), strict=True)):
        h = seen.sigmas[end] - seen.sigmas[start]
        total += h * mean_velocity(seen, start, end)
        for j, gain in enumerate(scales[n]):
            total -= gain * h * term(seen, KNOTS[: n + 1], end, j)
    return -10 * np.log10(np.square(total).mean(axis=1))


@pytest.mark.parametrize("seed", range(4))
def test_less_is_missed_in_the_end_than_with_gains_that_are_fitted_apart(seed: int) -> None:
    seen = mixture_trajectories(11, samples=12, seed=seed)
    orders = [min(ORDER, n + 1) for n in range(len(KNOTS))]
    apart = fit_gains(seen, KNOTS, orders, "width").gains
    plain = [(1.0,) * min(2, n + 1) for n in range(len(KNOTS))]
    found = compensate_gains(seen, KNOTS, np.ones(12))
    best = max(decibels(seen, each).mean() for each in (apart, plain))
    assert decibels(seen, found.gains).mean() > best + 0.2
    assert found.fitted == pytest.approx(10 ** (-decibels(seen, found.gains).mean() / 20))


def test_a_strong_ridge_is_the_plain_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compensated_gains, "SHRINKAGE", 1e9)
    found = compensate_gains(mixture_trajectories(11), KNOTS, np.ones(12))
    plain = [(1.0,), (1.0,), (1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (1.0, 1.0, 0.0)]
    for own, expected in zip(found.gains, plain, strict=True):
        assert own == pytest.approx(expected, abs=1e-6)


def test_all_steps_are_exact() -> None:
    seen = mixture_trajectories(6)
    found = compensate_gains(seen, range(6), np.ones(7))
    assert found.gains == pytest.approx(np.ones((6, 1)), abs=1e-9)
    assert found.fitted < 1e-6


def test_a_single_prompt_is_judged_by_itself() -> None:
    seen = mixture_trajectories(11).of_prompts(*[3] * 6)
    found = compensate_gains(seen, KNOTS, np.ones(12))
    assert found.cross_validated == found.fitted > 0


def test_velocities_that_vanish_do_not_break_it() -> None:
    seen = mixture_trajectories(11)
    still = of(np.zeros_like(seen.velocities), seen.sigmas)
    found = compensate_gains(still, KNOTS, np.ones(12))
    assert np.isfinite(np.concatenate(found.gains)).all()
    assert found.fitted == 0


@pytest.mark.parametrize("faintness", [1e-9, -1e-9])
def test_no_gain_is_larger_than_plans_have(faintness: float) -> None:
    seen = mixture_trajectories(11)
    faint = seen.velocities.copy()
    faint[:, KNOTS[1]] *= faintness  # hardly anything is known there, and much is missed
    found = compensate_gains(of(faint, seen.sigmas), KNOTS[:2], np.ones(12))
    assert max(map(abs, found.gains[1])) == MAX_GAIN


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("slope", [0.0, 0.7])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_terms_that_are_rounding_noise_keep_the_plain_gains(
    seed: int, slope: float, scale: float
) -> None:
    """Of velocities that are constant or linear in σ, the plain rule misses nothing."""
    sigmas = mixture_trajectories(11).sigmas
    base, change = np.random.default_rng(seed).standard_normal((2, 1, 1, 16))
    straight = of(scale * (base + slope * change * np.array(sigmas[:-1])[:, None]), sigmas)
    knots = (0, 1, 3, 5, 8)
    found = compensate_gains(straight, knots, np.ones(12))
    for n, own in enumerate(found.gains):
        assert own == pytest.approx((1.0, 1.0, 0.0)[: min(ORDER, n + 1)], abs=1e-6)
    assert found.fitted < 1e-7 * scale


def test_terms_that_are_small_are_no_noise() -> None:
    seen = mixture_trajectories(11)
    nearly = of(1 + 1e-5 * seen.velocities, seen.sigmas)
    found = compensate_gains(nearly, KNOTS, np.ones(12))
    for own in found.gains[2:]:
        assert own[1:] != pytest.approx((1.0, 0.0), abs=1e-3)


def test_no_more_terms_are_fitted_than_there_are() -> None:
    seen = mixture_trajectories(11)
    found = compensate_gains(seen, KNOTS, np.ones(12), ADAMS._replace(most=2))
    assert [*map(len, found.gains)] == [1, 1, 2, 2, 2]
