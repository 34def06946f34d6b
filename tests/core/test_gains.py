from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meancache_plan.core import gains
from meancache_plan.core.gains import FOLDS, SHRINKAGES, fit_gains, prompt_folds
from meancache_plan.core.objective import WEIGHTINGS
from tests.fields import shifted_grid
from tests.trajectories import (
    Array,
    Trajectories,
    deviation,
    mean_velocity,
    mixture_trajectories,
    of,
    term,
)

KNOTS = (0, 2, 5, 8)
TRUE = ((1.3,), (0.9, 1.7), (1.1, -0.6, 2.0), (0.8, 1.5, 0.4))


def only(monkeypatch: pytest.MonkeyPatch, *shrinkages: float) -> None:
    """Let cross-validation choose between these."""
    monkeypatch.setattr(gains, "SHRINKAGES", shrinkages)


def predicted(seen: Trajectories, knots: Sequence[int], end: int, scales: Sequence[float]) -> Array:
    return sum(gain * term(seen, knots, end, j) for j, gain in enumerate(scales))


def with_gains(
    knots: Sequence[int], ends: Sequence[int], true: Sequence[Sequence[float]], samples: int
) -> Trajectories:
    """Random velocities, but for each interval's last step: that makes û with ``true`` exact."""
    sigmas = shifted_grid(ends[-1])
    drawn = np.random.default_rng(0).standard_normal((samples, ends[-1], 16))
    for n, (end, scales) in enumerate(zip(ends, true, strict=True)):
        if end > knots[n] + 1:
            drawn[:, end - 1] = 0.0
            seen = of(drawn, sigmas)
            u_hat = predicted(seen, knots[: n + 1], end, scales)
            missing = u_hat - mean_velocity(seen, knots[n], end)
            drawn[:, end - 1] = (
                missing * (sigmas[end] - sigmas[knots[n]]) / (sigmas[end] - sigmas[end - 1])
            )
    return of(drawn, sigmas)


def test_the_gains_that_the_velocities_were_made_with_are_recovered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = with_gains(KNOTS, (2, 5, 8, 11), TRUE, samples=8)
    only(monkeypatch, 1e-10)
    found = fit_gains(seen, KNOTS, (1, 2, 3, 3), "width")
    for fitted, true in zip(found.gains, TRUE, strict=True):
        assert fitted == pytest.approx(true, abs=1e-6)
    assert found.fitted < 1e-6
    assert found.cross_validated < 1e-6


def test_gains_that_are_the_same_for_all_prompts_get_the_weakest_ridge() -> None:
    seen = with_gains(KNOTS, (2, 5, 8, 11), TRUE, samples=8)
    found = fit_gains(seen, KNOTS, (1, 2, 3, 3), "width")
    assert found.shrinkage == min(SHRINKAGES)


def test_the_strongest_ridge_is_plain_adams(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = mixture_trajectories(11)
    only(monkeypatch, max(SHRINKAGES))
    found = fit_gains(seen, KNOTS, (1, 2, 3, 3), "propagated")
    for fitted in found.gains:
        assert fitted == pytest.approx([1.0] * len(fitted), abs=1e-4)
    plain = [
        deviation(seen, predicted(seen, KNOTS[: n + 1], end, [1.0] * order), *ts, "propagated")
        for n, (end, order) in enumerate(zip((2, 5, 8, 11), (1, 2, 3, 3), strict=True))
        for ts in [(KNOTS[n], end)]
    ]
    expected = np.sqrt(np.square(plain).sum(axis=0).mean())
    assert found.fitted == pytest.approx(expected, rel=1e-4)


def ridge(
    seen: Trajectories, knots: Sequence[int], end: int, order: int, shrinkage: float
) -> Array:
    """Gains by least squares over all elements of all samples, pulled towards 1."""
    parts = [term(seen, knots, end, j).ravel() for j in range(order)]
    missed = mean_velocity(seen, knots[-1], end).ravel() - sum(parts)
    sizes = [np.sqrt(shrinkage) * np.linalg.norm(part) for part in parts]
    rows = np.vstack([np.stack(parts, axis=1), np.diag(sizes)])
    return 1 + np.linalg.lstsq(rows, np.append(missed, np.zeros(order)), rcond=None)[0]


def part_of(seen: Trajectories, rows: Array) -> Trajectories:
    return of(seen.velocities[rows], seen.sigmas)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("shrinkage", [1e-3, 0.1, 1.0])
def test_gains_and_both_figures_are_those_of_least_squares_on_the_velocities(
    monkeypatch: pytest.MonkeyPatch, shrinkage: float, weighting: str
) -> None:
    seen = mixture_trajectories(12, samples=7).of_prompts(4, 4, 2, 9, 9, 9, 0)
    knots, ends, orders = (0, 3, 4, 8), (3, 4, 8, 12), (1, 1, 3, 2)
    only(monkeypatch, shrinkage)
    found = fit_gains(seen, knots, orders, weighting)
    alone, held_out = np.zeros(7), np.zeros(7)
    for n, (end, order) in enumerate(zip(ends, orders, strict=True)):
        past, start = knots[: n + 1], knots[n]
        fitted = ridge(seen, past, end, order, shrinkage)
        assert found.gains[n] == pytest.approx(fitted, abs=1e-7)
        alone += deviation(seen, predicted(seen, past, end, fitted), start, end, weighting) ** 2
        for prompt in (0, 2, 4, 9):
            mine = seen.prompt_index == prompt
            scales = ridge(part_of(seen, ~mine), past, end, order, shrinkage)
            here = part_of(seen, mine)
            missed = deviation(here, predicted(here, past, end, scales), start, end, weighting)
            held_out[mine] += missed**2
    assert found.fitted == pytest.approx(np.sqrt(alone.mean()), rel=1e-7)
    assert found.cross_validated == pytest.approx(np.sqrt(held_out.mean()), rel=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_other_prompts_gains_are_never_better_than_ones_own(seed: int) -> None:
    seen = mixture_trajectories(14, samples=10, seed=seed)
    for knots in ((0, 3, 6, 10), (0, 1, 2, 5, 9)):
        orders = [min(3, n + 1) for n in range(len(knots))]
        found = fit_gains(seen, knots, orders, "propagated")
        assert found.cross_validated >= found.fitted > 0


def test_the_ridge_chosen_is_the_one_that_does_best_on_held_out_prompts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = mixture_trajectories(14, samples=10)
    arguments = (seen, (0, 1, 4, 8), (1, 2, 3, 3), "propagated")
    chosen = fit_gains(*arguments)
    alone = []
    for shrinkage in SHRINKAGES:
        only(monkeypatch, shrinkage)
        alone.append(fit_gains(*arguments))
    assert chosen == min(alone, key=lambda found: found.cross_validated)
    assert len({found.cross_validated for found in alone}) == len(SHRINKAGES)


def opposed() -> Trajectories:
    """Two prompts, two equal samples of each: gains 2, −1 and 0, 3, each seen in one term only.

    The knots are 0 and 1, the interval 1→4. What a prompt says of the other's term is wrong.
    """
    sigmas = shifted_grid(4)
    axes = np.eye(4)
    velocities = np.zeros((4, 4, 4))
    for sample, (size, slope, scales) in enumerate(
        [(10.0, 0.1, (2.0, -1.0))] * 2 + [(0.1, 10.0, (0.0, 3.0))] * 2
    ):
        velocities[sample, 1] = size * axes[0]
        velocities[sample, 0] = velocities[sample, 1] + slope * axes[1]
        one = of(velocities[sample : sample + 1], sigmas)
        h = sigmas[4] - sigmas[1]
        moved = h * predicted(one, (0, 1), 4, scales)[0]
        moved -= (sigmas[2] - sigmas[1]) * velocities[sample, 1]
        velocities[sample, 3] = moved / (sigmas[4] - sigmas[3])
    return of(velocities, sigmas)


def test_samples_of_one_prompt_do_not_vouch_for_each_other() -> None:
    """Equal samples of a prompt in two folds would speak for the weakest ridge."""
    by_prompt = fit_gains(opposed(), (0, 1), (1, 2), "width")
    by_sample = fit_gains(opposed().of_prompts(0, 1, 2, 3), (0, 1), (1, 2), "width")
    assert by_prompt.shrinkage == max(SHRINKAGES)
    assert by_sample.shrinkage == min(SHRINKAGES)


def test_a_single_prompt_is_judged_by_itself() -> None:
    seen = mixture_trajectories(11, samples=3).of_prompts(7, 7, 7)
    found = fit_gains(seen, KNOTS, (1, 2, 3, 3), "width")
    assert found.shrinkage == min(SHRINKAGES)
    assert found.cross_validated == found.fitted > 0


def test_intervals_of_one_step_and_those_that_are_not_free_keep_gains_of_1() -> None:
    seen = mixture_trajectories(9)
    knots, free = (0, 1, 2, 5), (True, True, False, True)
    found = fit_gains(seen, knots, (1, 2, 2, 2), "width", free)
    assert found.gains[:3] == ((1.0,), (1.0, 1.0), (1.0, 1.0))
    assert found.gains[3] != (1.0, 1.0)
    missed = [
        deviation(seen, predicted(seen, past, end, scales), past[-1], end, "width")
        for past, end, scales in (((1, 2), 5, (1.0, 1.0)), ((2, 5), 9, found.gains[3]))
    ]
    expected = np.sqrt(np.square(missed).sum(axis=0).mean())
    assert found.fitted == pytest.approx(expected, rel=1e-9)


def test_where_no_gain_is_free_there_is_nothing_to_cross_validate() -> None:
    seen = mixture_trajectories(11)
    found = fit_gains(seen, KNOTS, (1, 2, 3, 3), "propagated", free=(False,) * 4)
    assert found.gains == ((1.0,), (1.0,) * 2, (1.0,) * 3, (1.0,) * 3)
    assert found.cross_validated == found.fitted > 0


@settings(max_examples=300, derandomize=True)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_every_sample_is_in_one_fold_and_no_prompt_in_two(prompts: list[int]) -> None:
    folds = prompt_folds(np.array(prompts))
    assert len(folds) == min(FOLDS, len(set(prompts)))
    assert (np.sum(folds, axis=0) == 1).all()
    members = [{prompts[sample] for sample in np.flatnonzero(fold)} for fold in folds]
    assert all(members)
    assert sum(map(len, members)) == len(set().union(*members)) == len(set(prompts))
    sizes = sorted(map(len, members))
    assert sizes[-1] - sizes[0] <= 1, "prompts are spread evenly"
