"""What a run is noted for is said as soon as it is known, once each, at the line that called."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from meancache_runtime import MeanCacheScheduler, MeanCacheWarning, attach, integrate
from meancache_runtime.annotations import Generation
from meancache_runtime.errors import NonFiniteError, RequestMismatchError
from meancache_runtime.schedule import Schedule
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.pipeline_loops import NOISE, Loop, field
from tests.tiny import SIDE, call_options

STEPS, KNOTS = 6, (0, 2, 4)
MADE = Generation(SIDE, SIDE, None, {"guidance_scale": 1.0}, "float32", elements=16 * 16)
EVEN = [1 - i / STEPS for i in range(STEPS)]
GRID = by_hand.shifted(STEPS)


def schedule(**made: Any) -> Schedule:
    plain = by_hand.schedule(STEPS, KNOTS, sigmas=GRID, tolerance=1e-4)
    return replace(plain, generation=replace(MADE, **made))


def strict_bounds(schedule: Schedule) -> Schedule:
    [plan] = schedule.plans
    return replace(schedule, plans=(replace(plan, innovation=(1e-9, 1e-9)),))


def run(pipe: Any, **options: Any) -> None:
    with torch.no_grad():
        pipe("a cat", **call_options(STEPS) | options)


def said(ask: Callable[[], object]) -> list[warnings.WarningMessage]:
    """The warnings that Python's default filters show."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        ask()
    assert {each.category for each in told} <= {MeanCacheWarning}
    return told


def test_each_pipeline_says_it_and_at_the_line_that_called_it(tiny_flux: Any) -> None:
    made = schedule(guidance={"guidance_scale": 2.0}, calls=(2,) * STEPS)

    def twice() -> None:
        for _ in range(2):
            with attach(tiny_flux, made):
                run(tiny_flux, guidance_scale=7.0)

    told = said(twice)
    assert ["guidance_scale 7" in str(each.message) for each in told] == [True, False] * 2
    assert {each.filename for each in told} == {__file__}
    assert len({each.lineno for each in told}) == 1


def test_every_run_of_a_loop_says_it() -> None:
    narrow = strict_bounds(schedule(elements=5))

    def twice() -> None:
        for _ in range(2):
            integrate(field, NOISE, narrow, budget=len(KNOTS))

    told = said(twice)
    assert ["have 6 numbers" in str(each.message) for each in told] == [True, False] * 2
    assert {each.filename for each in told} == {__file__}


def test_another_fault_is_said_after_the_first_and_none_twice(tiny_flux: Any) -> None:
    with attach(tiny_flux, schedule()):
        assert len(said(lambda: run(tiny_flux, guidance_scale=7.0))) == 1
        assert len(said(lambda: run(tiny_flux, guidance_scale=7.0))) == 0
        assert len(said(lambda: run(tiny_flux, guidance_scale=3.0))) == 1
        assert len(said(lambda: run(tiny_flux))) == 0


def test_a_scheduler_looks_at_every_request() -> None:
    own, made = Loop().scheduler, schedule(elements=len(NOISE))
    scheduler = MeanCacheScheduler.from_schedule(own, made, budget=len(KNOTS))

    def begin(noise: torch.Tensor) -> None:
        scheduler.set_timesteps(STEPS, sigmas=EVEN)
        scheduler.step(noise, scheduler.timesteps[0], noise)

    for size, times in ((6, 0), (3, 1), (3, 0), (2, 1), (6, 0)):
        assert len(said(lambda noise=NOISE[:size]: begin(noise))) == times


def test_what_a_call_asks_for_is_said_before_the_denoiser_runs(tiny_flux: Any) -> None:
    with attach(tiny_flux, schedule()) as attachment, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MeanCacheWarning, match="guidance_scale 7"):
            run(tiny_flux, guidance_scale=7.0)
        assert attachment.stats.denoiser_calls == 0


def breaking(z: Any, sigma: float) -> Any:
    return field(z, sigma) * (math.nan if sigma < GRID[3] else 1.0)


def test_what_a_run_shows_is_said_at_once_and_not_lost_with_an_error() -> None:
    pipe = Loop()
    pipe.transformer.velocity = breaking
    made = strict_bounds(schedule(elements=5))
    with attach(pipe, made), pytest.warns(MeanCacheWarning) as told, pytest.raises(NonFiniteError):
        pipe(STEPS, sigmas=EVEN)
    assert [str(each.message)[:20] for each in told] == [
        "this request's laten",
        "at knot 2 a sample m",
    ]
    scheduler = MeanCacheScheduler.from_schedule(pipe.scheduler, made, budget=len(KNOTS))
    scheduler.set_timesteps(STEPS, sigmas=EVEN)
    for timestep, says in zip(scheduler.timesteps, ("have 6 numbers", "at knot 2"), strict=False):
        with pytest.warns(MeanCacheWarning, match=says):
            scheduler.step(field(NOISE, float(timestep) / 1000), timestep, NOISE)
    with pytest.warns(MeanCacheWarning, match="at knot"), pytest.raises(NonFiniteError):
        integrate(breaking, NOISE, made, budget=len(KNOTS))


def test_a_run_from_mid_grid_is_warned_of_and_a_strict_attachment_refuses_it() -> None:
    pipe, says = Loop(), "enters the schedule at step 2 of 6"
    with attach(pipe, schedule()) as attachment:
        with pytest.warns(MeanCacheWarning, match=says):
            pipe(STEPS, 2, sigmas=EVEN)
        assert attachment.stats.request == "unknown"
        with pytest.warns(MeanCacheWarning, match="enters the schedule at step 4 of 6"):
            pipe(STEPS, 4, sigmas=EVEN)
    for tells, calls in ((True, 0), (False, 1)):  # whose scheduler is not told shows it at its step
        pipe = Loop(tells=tells)
        strict = attach(pipe, schedule(), strict=True)
        with strict, pytest.raises(RequestMismatchError, match=says):
            pipe(STEPS, 2, sigmas=EVEN)
        assert len(pipe.transformer.sigmas) == calls
