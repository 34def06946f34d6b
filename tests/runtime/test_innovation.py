"""A sample that strays from what its history promises is seen, and what then happens is chosen."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from meancache_plan import profile_flow, solve
from meancache_plan.core.innovation import innovations
from meancache_runtime import MeanCacheScheduler, Replay, attach, integrate
from meancache_runtime.binding import bind
from meancache_runtime.errors import ReplayError, UnstableError
from meancache_runtime.innovation import Innovations, OnUnstable
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Schedule
from tests.fields import euler, mixture, noise, shifted_grid
from tests.runtime import by_hand
from tests.tiny import call_options

KNOTS = (0, 2, 5, 9)
SIGMAS = shifted_grid(12)
PREDICTORS = [Hold(), Adams((1.0, 1.0)), Adams((1.0, 1.0)), Adams((1.0, 1.0))]
WIDE, NARROW = (1e6, 1e6, 1e6), (1e-6, 1e-6, 1e-6)


def bounded(limits: tuple[float, ...] | None) -> Schedule:
    found = by_hand.schedule(12, KNOTS, PREDICTORS, sigmas=SIGMAS)
    return replace(found, plans=(replace(found.plans[0], innovation=limits),))


class Counted:
    """A velocity field, and the noise levels at which it was asked."""

    def __init__(self) -> None:
        self.sigmas: list[float] = []

    def __call__(self, latents: torch.Tensor, sigma: float) -> torch.Tensor:
        self.sigmas.append(sigma)
        return mixture()(latents, sigma)


def by_formula(velocities: torch.Tensor) -> NDArray[np.float64]:
    """Innovations at KNOTS of velocities [T, S, N], by the definition."""
    rows: list[NDArray[np.float64]] = []
    for n, knot in enumerate(KNOTS[1:], start=1):
        last = velocities[KNOTS[n - 1]]
        slope = 0
        if n > 1:
            before = velocities[KNOTS[n - 2]]
            slope = (last - before) / (SIGMAS[KNOTS[n - 1]] - SIGMAS[KNOTS[n - 2]])
        promised = last + (SIGMAS[knot] - SIGMAS[KNOTS[n - 1]]) * slope
        fresh = velocities[knot]
        rows.append(((fresh - promised).norm(dim=1) / fresh.norm(dim=1)).numpy())
    return np.stack(rows, axis=1)


def test_compiler_and_runtime_measure_the_same_on_a_recorded_trajectory() -> None:
    start = noise(5)
    velocities = euler(mixture(), start, SIGMAS)[1]
    expected = by_formula(velocities)
    grams = torch.einsum("tsn,usn->stu", velocities, velocities).numpy()
    assert innovations(SIGMAS, KNOTS, grams) == pytest.approx(expected)
    plan = bind(replace(bounded(WIDE).plans[0], innovation=(1.0, 1.0, 1.0)), SIGMAS)
    seen = Innovations(plan)
    for knot in KNOTS:
        if seen.see(knot, velocities[knot], velocities[knot]):
            assert seen.read()
            seen.judge(knot, [seen.squares])
    assert seen.worst == pytest.approx(expected.max())
    assert seen.knot == KNOTS[1 + int(expected.max(axis=0).argmax())]


def test_a_plan_that_is_solved_has_bounds_that_its_own_samples_keep() -> None:
    start = noise(6)
    profile = profile_flow(mixture(), start, SIGMAS)
    schedule = solve(profile, [4]).replayable()
    limits = schedule.plans[0].innovation
    assert limits is not None
    assert len(limits) == len(schedule.plans[0].knots) - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        integrate(mixture(), start, schedule, budget=4)
    with pytest.warns(UserWarning, match="moves otherwise than the calibration samples did"):
        integrate(mixture(seed=7), 3 * start, schedule, budget=4)


@pytest.mark.parametrize(
    ("limits", "policy"),
    [(None, "warn"), (None, "ignore")] + [(WIDE, policy) for policy in get_args(OnUnstable)],
)
def test_within_bounds_or_without_them_nothing_changes(
    limits: tuple[float, ...] | None, policy: Any
) -> None:
    field = Counted()
    found = integrate(field, noise(3), bounded(limits), budget=4, on_unstable=policy)
    assert torch.equal(found, integrate(mixture(), noise(3), bounded(None), budget=4))
    assert field.sigmas == [SIGMAS[knot] for knot in KNOTS]


def test_the_sample_of_a_batch_that_moves_otherwise_is_named() -> None:
    start = noise(4)
    found = [worst(start[[row]]) for row in range(4)]
    stray, second = np.argsort(found)[::-1][:2]
    limits = (1e6, 1e6, (found[stray] + found[second]) / 2)
    with pytest.warns(UserWarning, match=rf"at knot 9 sample {stray} \(of 4, from 0\) moves"):
        integrate(mixture(), start, bounded(limits), budget=4)


def test_raise_ends_the_run_at_the_knot_by_name() -> None:
    with pytest.raises(UnstableError, match=r"at knot 5 sample \d .* moves .*: \d+\.\d times"):
        integrate(mixture(), noise(3), bounded((1e6, 1e-6, 1e6)), budget=4, on_unstable="raise")


def test_ignore_does_not_look() -> None:
    machine = Replay(bind(bounded(NARROW).plans[0], SIGMAS), on_unstable="ignore")
    assert not machine.innovations.measured
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        integrate(mixture(), noise(3), bounded(NARROW), budget=4, on_unstable="ignore")


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ((1e-6, 1e6, 1e6), [0, 2, 3, 4, 5, 9]),  # strays at 2, is back at 5
        ((1e6, 1e-6, 1e6), [0, 2, 5, 6, 7, 8, 9]),
        ((1e6, 1e6, 1e-6), [0, 2, 5, 9, 10, 11]),
        (NARROW, [0, *range(2, 12)]),
    ],
)
def test_refresh_runs_every_step_until_a_knot_where_all_samples_are_back(
    limits: tuple[float, ...], steps: list[int]
) -> None:
    field = Counted()
    found = integrate(field, noise(3), bounded(limits), budget=4, on_unstable="refresh")
    assert field.sigmas == [SIGMAS[step] for step in steps]
    assert torch.equal(found, _refreshed(steps))


def _refreshed(steps: list[int]) -> torch.Tensor:
    """The plan, but for plain Euler steps where two asked-for steps follow each other."""
    plan = bind(bounded(None).plans[0], SIGMAS)
    latents, fresh = noise(3), dict[int, torch.Tensor]()
    for step, (sigma, following) in enumerate(pairwise(SIGMAS)):
        if step in steps:
            fresh[step] = mixture()(latents, sigma)
        knot = max(knot for knot in KNOTS if knot <= step)
        end = next((k for k in KNOTS if k > step), 12)
        if all(each in steps for each in range(knot, end)):
            answer = fresh[step]
        else:
            answer = torch.zeros_like(latents)
            for k, weight in plan.forms[step].items():
                answer = answer + weight * fresh[k]
        latents = latents + (following - sigma) * answer
    return latents


def test_a_batch_refreshes_together_and_one_sample_is_enough() -> None:
    start = noise(4)
    last = [worst(start[[row]]) for row in range(4)]
    stray = int(np.argmax(last))
    others = [row for row in range(4) if row != stray]
    between = (sorted(last)[-1] + sorted(last)[-2]) / 2
    field, calm = Counted(), Counted()
    limits = (1e6, 1e6, between)
    integrate(field, start, bounded(limits), budget=4, on_unstable="refresh")
    integrate(calm, start[others], bounded(limits), budget=4, on_unstable="refresh")
    assert (len(field.sigmas), len(calm.sigmas)) == (6, 4)


def worst(start: torch.Tensor) -> float:
    """The innovation at the last knot of a replay."""
    machine = Replay(bind(bounded((1e6, 1e6, 1.0)).plans[0], SIGMAS))
    latents = start
    for sigma, following in pairwise(SIGMAS):
        fresh = mixture()(latents, sigma)
        latents = latents + (following - sigma) * machine.advance(fresh)
    return machine.innovations.worst


def test_another_policy_is_refused_by_name(tiny_flux: Any) -> None:
    wrong: Any = "panic"
    with pytest.raises(ReplayError, match="on_unstable 'panic' is unknown: choose one of warn"):
        integrate(mixture(), noise(3), bounded(None), budget=4, on_unstable=wrong)
    with pytest.raises(ReplayError, match="on_unstable 'panic' is unknown"):
        attach(tiny_flux, by_hand.schedule(8, KNOTS[:3], PREDICTORS[:3]), on_unstable=wrong)


STEPS, TINY = 8, (0, 1, 3, 6)


def limited(limits: tuple[float, ...]) -> Schedule:
    found = by_hand.schedule(STEPS, TINY, PREDICTORS)
    return replace(found, plans=(replace(found.plans[0], innovation=limits),))


def run(pipe: Any, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return pipe("a cat", **call_options(STEPS) | options).images


def test_a_pipeline_warns_once_and_its_stats_have_the_worst_knot(tiny_flux: Any) -> None:
    with attach(tiny_flux, limited(WIDE)) as attachment:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            expected = run(tiny_flux)
        assert attachment.stats.warnings == ()
        assert attachment.stats.innovation is not None
        assert 0 < attachment.stats.innovation < 1
    with attach(tiny_flux, limited((1e6, 1e-6, 1e6))) as attachment:
        with pytest.warns(UserWarning, match="at knot 3 a sample moves otherwise"):
            found = run(tiny_flux)
        assert torch.equal(found, expected)
        for _ in range(2):
            [warning] = attachment.stats.warnings
            assert (warning.kind, attachment.stats.innovation_knot) == ("unstable", 3)
            assert attachment.stats.innovation > 1
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                run(tiny_flux)


def test_a_pipeline_that_refreshes_from_the_first_knots_on_ends_as_all_steps_do(
    tiny_flux: Any,
) -> None:
    expected = run(tiny_flux)
    with attach(tiny_flux, limited(NARROW), on_unstable="refresh") as attachment:
        assert torch.equal(run(tiny_flux), expected)  # 0 and 1 are knots; from 1 on it strays
        assert attachment.stats.refreshes == attachment.stats.denoiser_calls == STEPS
        assert attachment.stats.cached_steps == 0


def test_a_pipeline_that_is_to_raise_is_clean_afterwards(tiny_flux: Any) -> None:
    expected = run(tiny_flux)
    with attach(tiny_flux, limited(NARROW), on_unstable="raise") as attachment:
        with pytest.raises(UnstableError) as error:
            run(tiny_flux)
        [noted], stats = attachment.stats.warnings, attachment.stats
        assert (noted.message, stats.innovation_knot) == (str(error.value), TINY[1])
        assert f" {stats.innovation:.1f} times as far" in noted.message
    assert torch.equal(run(tiny_flux), expected)


def test_refreshing_in_place_of_another_sampler_is_refused(tiny_flux: Any) -> None:
    schedule = limited(NARROW)
    schedule = replace(schedule, grid=replace(schedule.grid, finer_steps=20))
    with pytest.raises(ReplayError, match="cannot mix with its own: choose 'warn' or 'raise'"):
        attach(tiny_flux, schedule, on_unstable="refresh")


def test_a_scheduler_warns_once_or_raises_and_refuses_to_refresh(tiny_flux: Any) -> None:
    inner, schedule = tiny_flux.scheduler, limited((1e6, 1e-6, 1e6))
    tiny_flux.scheduler = MeanCacheScheduler.from_schedule(inner, schedule, budget=4)
    with pytest.warns(UserWarning, match="at knot 3 a sample moves otherwise"):
        run(tiny_flux)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tiny_flux)
    tiny_flux.scheduler = MeanCacheScheduler.from_schedule(
        inner, schedule, budget=4, on_unstable="raise"
    )
    with pytest.raises(UnstableError, match="at knot 3"):
        run(tiny_flux)
    again = MeanCacheScheduler.from_config(tiny_flux.scheduler.config)
    assert again.config["meancache_on_unstable"] == "raise"
    with pytest.raises(ReplayError, match="which this loop never visits: use"):
        MeanCacheScheduler.from_schedule(inner, schedule, budget=4, on_unstable="refresh")
