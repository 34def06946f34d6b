"""Runs that enter a schedule after its first step, as image-to-image does."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest
import torch
from diffusers import FluxImg2ImgPipeline
from PIL import Image

from meancache_runtime import attach
from meancache_runtime.errors import GridMismatchError, StepCountError
from meancache_runtime.hosts.diffusers.entry import enter
from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from meancache_runtime.schedule import Plan, Schedule
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.pipeline_loops import NOISE, Loop, field
from tests.runtime.hosts.diffusers.tiny_runs import Record, sampler
from tests.tiny import SIDE, call_options

STEPS = 16
KNOTS = (0, 2, 6, 9, 13)
PREDICTORS = [Hold(), Adams((1.0, 0.9)), Jvp(4), Released(3), Adams((1.02, 0.8, 0.5, 0.2))]
PLAN = Plan(5, KNOTS, tuple(PREDICTORS))
SIGMAS = by_hand.shifted(STEPS)
ENTERED = {
    0: (KNOTS, PREDICTORS),
    # the first interval's velocities at 0 and 1 are of the run itself
    1: ((0, 1, 5, 8, 12), PREDICTORS),
    # no velocity before the start; the window of 4 at knot 6 reaches just to the start at 2
    2: ((0, 4, 7, 11), [Adams((1.0,)), Jvp(4), Released(3), Adams((1.02, 0.8, 0.5, 0.2))]),
    # the window at knot 6 reaches 1 step too far; two knots less for the last
    3: ((0, 3, 6, 10), [Adams((1.0,)), Hold(), Released(3), Adams((1.02, 0.8, 0.5, 0.2))]),
    6: ((0, 3, 7), [Hold(), Released(3), Adams((1.02, 0.8, 0.5))]),
    # the first cached step after knot 9 is 10: three steps back is before 8, not before 7
    7: ((0, 2, 6), [Hold(), Released(3), Adams((1.02, 0.8, 0.5))]),
    8: ((0, 1, 5), [Hold(), Hold(), Adams((1.02, 0.8, 0.5))]),
    9: ((0, 4), [Hold(), Adams((1.02, 0.8))]),
    12: ((0, 1), [Hold(), Adams((1.02, 0.8))]),
    13: ((0,), [Adams((1.02,))]),
    15: ((0,), [Adams((1.02,))]),
}


@pytest.mark.parametrize("start", ENTERED)
def test_a_plan_entered_late_uses_nothing_from_before(start):
    knots, predictors = ENTERED[start]
    assert enter(PLAN, start) == Plan(len(knots), knots, tuple(predictors))


@pytest.mark.parametrize(
    ("start", "bounds"),
    [
        (0, (0.1, 0.2, 0.3, 0.4)),
        (1, (inf, inf, 0.3, 0.4)),  # both promises of the plan look back to knot 0
        (2, (inf, 0.3, 0.4)),  # knot 9 is promised from 2 and 6, as in the plan
        (3, (inf, inf, 0.4)),
        (8, (inf, inf)),
        (15, ()),
    ],
)
def test_a_bound_holds_where_the_promise_is_made_of_the_plans_own_knots(start, bounds):
    assert enter(replace(PLAN, innovation=(0.1, 0.2, 0.3, 0.4)), start).innovation == bounds


def test_a_sample_that_strays_is_seen_in_mid_grid_too(tiny_flux):
    pipe = img2img(tiny_flux)
    narrow = replace(PLAN, innovation=(1e-6, 1e6, 1e6, 1e-6))
    schedule = replace(stated(), plans=(narrow,))
    with attach(pipe, schedule) as attached, pytest.warns(UserWarning, match="at knot 13"):
        run(pipe, 1 - 3 / STEPS)
    assert attached.stats.innovation_knot == 13
    assert [each.kind for each in attached.stats.warnings] == ["mid-grid", "unstable"]


def test_a_window_of_one_step_holds_wherever_it_starts():
    plan = Plan(1, (0,), (Released(1),))
    assert enter(plan, 3).intervals == (Released(1),)


def img2img(pipe: Any) -> FluxImg2ImgPipeline:
    made = FluxImg2ImgPipeline(**pipe.components)
    made.set_progress_bar_config(disable=True)
    return made


def run(pipe: Any, strength: float, steps: int = STEPS) -> torch.Tensor:
    options = call_options(steps) | {"image": Image.new("RGB", (SIDE, SIDE)), "strength": strength}
    with torch.no_grad():
        return pipe("a cat", **options).images


def stated(tolerance: float = 0.01) -> Schedule:
    return by_hand.schedule(STEPS, KNOTS, PREDICTORS, SIGMAS, tolerance)


@pytest.mark.parametrize("grid", ["stated", "any"])
@pytest.mark.parametrize("start", [2, 3, 8, 13])
def test_image_to_image_follows_the_end_of_the_plan(tiny_flux, start, grid):
    pipe, record = img2img(tiny_flux), Record(tiny_flux)
    pipe.scheduler = tiny_flux.scheduler
    schedule = stated() if grid == "stated" else by_hand.schedule(STEPS, KNOTS, PREDICTORS)
    with attach(pipe, schedule) as attached:
        run(pipe, 1 - start / STEPS)
    knots, predictors = ENTERED[start]
    plan = Plan(len(knots), knots, tuple(predictors))
    assert len(record.outputs) == attached.stats.refreshes == len(knots)
    sigmas = pipe.scheduler.sigmas.tolist()[start:]
    expected = by_hand.answers(plan, sigmas, record.outputs)
    for received, answer in zip(record.received, expected, strict=True):
        assert torch.allclose(received.double(), answer, rtol=1e-5, atol=1e-5)
    (warning,) = attached.stats.warnings
    assert warning.kind == "mid-grid"
    assert f"at step {start} of {STEPS}" in warning.message


def test_the_next_run_from_the_first_step_has_no_warning(tiny_flux):
    pipe = img2img(tiny_flux)
    with attach(pipe, stated()) as attached:
        run(pipe, 0.5)
        assert len(attached.stats.warnings) == 1
        run(pipe, 1.0)
        assert attached.stats.warnings == ()
        assert attached.stats.refreshes == len(KNOTS)


def test_a_schedule_calibrated_for_this_strength_is_followed_whole(tiny_flux):
    pipe = img2img(tiny_flux)
    schedule = by_hand.schedule(8, (0, 3), sigmas=SIGMAS[8:], tolerance=1e-4)
    with attach(pipe, schedule) as attached:
        run(pipe, 0.5)
    assert attached.stats.warnings == ()
    assert attached.stats.refreshes == 2


def test_every_step_a_knot_changes_no_bit_from_mid_grid_on(tiny_flux):
    pipe = img2img(tiny_flux)
    plain = run(pipe, 0.5)
    with attach(pipe, by_hand.schedule(STEPS, range(STEPS))):
        assert torch.equal(run(pipe, 0.5), plain)


def test_fewer_steps_from_the_first_level_are_no_end_of_the_grid_however_near():
    """15 steps instead of 16 are everywhere within 0.05 of the last 15 steps of 16."""
    near = by_hand.shifted(STEPS - 1)
    assert max(abs(a - b) for a, b in zip(near, SIGMAS[1:], strict=True)) < 0.05
    loop, even = Loop(), [1 - i / (STEPS - 1) for i in range(STEPS - 1)]
    with attach(loop, stated(0.05)), pytest.raises(StepCountError, match="15 steps"):
        loop(STEPS - 1, sigmas=even)
    assert loop.scheduler.sigmas.tolist() == pytest.approx(near)
    assert loop.transformer.sigmas == []


def test_a_run_given_the_grids_last_levels_alone_enters_it():
    loop, start = Loop(), 8
    knots, predictors = ENTERED[start]
    expected = by_hand.integrate(
        field, NOISE, Plan(len(knots), knots, tuple(predictors)), SIGMAS[start:]
    )
    with attach(loop, stated()) as attached:
        replayed = loop(STEPS - start, sigmas=[1 - i / STEPS for i in range(start, STEPS)])
    assert torch.allclose(replayed, expected, rtol=1e-6, atol=1e-6)
    assert [warning.kind for warning in attached.stats.warnings] == ["mid-grid"]


def test_an_end_of_another_grid_is_refused_before_the_denoiser_runs():
    loop = Loop(sampler("FlowMatchEulerDiscreteScheduler", shift=2.0))
    with attach(loop, stated()):
        with pytest.raises(
            StepCountError, match=r"starts at step 8.*not the last steps of the schedule"
        ):
            loop(STEPS, 8)
        with pytest.raises(GridMismatchError, match="σ at step"):
            loop(2 * STEPS, STEPS)
    assert loop.transformer.sigmas == []


@pytest.mark.parametrize("tells", [True, False], ids=["begin index", "first timestep"])
@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler"])
def test_the_start_is_found_whether_or_not_the_scheduler_is_told(name, tells):
    loop, start = Loop(sampler(name), tells=tells), 3
    loop.scheduler.set_timesteps(STEPS)
    levels = loop.scheduler.sigmas.tolist()
    knots, predictors = ENTERED[start]
    schedule = by_hand.schedule(STEPS, KNOTS, PREDICTORS, levels, 1e-4)
    replaces = None if name.startswith("FlowMatch") else name
    expected = by_hand.integrate(
        field,
        NOISE,
        Plan(len(knots), knots, tuple(predictors)),
        levels[start:],
        displaced=replaces is not None,
    )
    schedule = replace(schedule, grid=replace(schedule.grid, replaces=replaces))
    with attach(loop, schedule) as attached:
        replayed = loop(STEPS, start)
    assert torch.allclose(replayed, expected, rtol=1e-6, atol=1e-6)
    assert [warning.kind for warning in attached.stats.warnings] == ["mid-grid"]


def test_heun_enters_at_a_whole_step():
    name, start = "FlowMatchHeunDiscreteScheduler", 3
    loop = Loop(sampler(name))
    loop.scheduler.set_timesteps(STEPS)
    levels = list(dict.fromkeys(loop.scheduler.sigmas.tolist()))
    knots, predictors = ENTERED[start]
    plan = Plan(len(knots), knots, tuple(predictors))
    expected = by_hand.integrate(field, NOISE, plan, levels[start:], displaced=True)
    schedule = by_hand.schedule(STEPS, KNOTS, PREDICTORS)
    schedule = replace(schedule, grid=replace(schedule.grid, replaces=name))
    with attach(loop, schedule) as attached:
        replayed = loop(STEPS, start)
    assert torch.allclose(replayed, expected, rtol=1e-6, atol=1e-6)
    assert attached.stats.refreshes == len(knots)


def test_an_untold_run_of_another_length_is_refused_before_the_denoiser_runs():
    loop = Loop(tells=False)
    for schedule in (stated(), by_hand.schedule(STEPS, KNOTS, PREDICTORS)):
        with attach(loop, schedule):
            for steps in (STEPS - 1, STEPS + 4):
                with pytest.raises(StepCountError):
                    loop(steps)
    assert loop.transformer.sigmas == []


def test_the_middle_of_another_grid_is_refused_where_no_grid_is_stated(tiny_flux):
    pipe = img2img(tiny_flux)
    schedule = by_hand.schedule(STEPS, KNOTS, PREDICTORS)
    with (
        pytest.raises(StepCountError, match=r"starts at step 16 .*not the last steps of the"),
        attach(pipe, schedule),
    ):
        run(pipe, strength=0.5, steps=2 * STEPS)
