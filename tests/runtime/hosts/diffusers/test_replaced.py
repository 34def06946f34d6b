"""Plans that take another sampler's steps in its place, in a pipeline and in loops of our own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from meancache_runtime import attach
from meancache_runtime.errors import UnsupportedSchedulerError
from meancache_runtime.schedule import Schedule
from tests.counting import count_calls
from tests.families.by_sampler import followed_by_hand
from tests.families.case import run
from tests.plans import FULL, KNOTS, PLAN, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.pipeline_loops import NOISE, Loop, field
from tests.runtime.hosts.diffusers.tiny_runs import REPLACEABLE, WAN, sampler

every_sampler = pytest.mark.parametrize("name", REPLACEABLE)


def made_for(name: str | None, schedule: Schedule) -> Schedule:
    return replace(schedule, grid=replace(schedule.grid, replaces=name))


def video(name: str) -> Any:
    """Wan with another sampler: 32-bit latents, guidance in two calls, no begin index."""
    pipe = WAN.build()
    pipe.scheduler = sampler(name)
    return pipe


@every_sampler
def test_a_budget_of_all_steps_leaves_the_sampler_to_itself(name):
    pipe = video(name)
    (plain,) = run(pipe, WAN.call(STEPS))
    with attach(pipe, made_for(name, FULL)) as attached:
        (replayed,) = run(pipe, WAN.call(STEPS))
    assert torch.equal(replayed, plain)
    assert (attached.stats.refreshes, attached.stats.cached_steps) == (STEPS, 0)


@every_sampler
def test_a_plan_steps_by_euler_with_its_own_velocities(name):
    pipe = video(name)
    calls = count_calls(pipe.transformer)
    with followed_by_hand(type(pipe.scheduler), PLAN, displaced=True):
        (expected,) = run(pipe, WAN.call(STEPS))
    calls.clear()
    with attach(pipe, made_for(name, SCHEDULE)) as attached:
        (replayed,) = run(pipe, WAN.call(STEPS))
        (again,) = run(pipe, WAN.call(STEPS))
    assert (replayed - expected).norm() <= 1e-5 * expected.norm()
    assert torch.equal(again, replayed)
    assert len(calls) == 2 * 2 * len(KNOTS)
    stats = attached.stats
    assert (stats.refreshes, stats.cached_steps, stats.denoiser_calls) == (4, 4, 8)


@every_sampler
def test_what_the_sampler_knew_of_a_replaced_run_does_not_reach_the_next(name):
    pipe = video(name)
    (plain,) = run(pipe, WAN.call(STEPS))
    with attach(pipe, made_for(name, SCHEDULE)):
        run(pipe, WAN.call(STEPS))
    assert torch.equal(run(pipe, WAN.call(STEPS))[0], plain)


def test_the_attached_result_stays_near_the_samplers_own():
    pipe = video("UniPCMultistepScheduler")
    (plain,) = run(pipe, WAN.call(STEPS))
    with attach(pipe, made_for("UniPCMultistepScheduler", SCHEDULE)):
        (replayed,) = run(pipe, WAN.call(STEPS))
    assert 0 < (replayed - plain).norm() < 0.2 * plain.norm()


@every_sampler
@pytest.mark.parametrize("tells", [True, False], ids=["begin index", "first timestep"])
@pytest.mark.parametrize("first", [0, 2])
def test_the_scheduler_counts_the_steps_that_it_does_not_take(name, tells, first):
    loop = Loop(sampler(name), tells=tells)
    loop.scheduler.set_timesteps(STEPS)
    distinct = list(dict.fromkeys(loop.scheduler.sigmas.tolist()))
    knots = tuple(k for k in (0, 3, 5) if k < STEPS - first)
    own = distinct[first:]
    schedule = by_hand.schedule(len(own) - 1, knots, sigmas=own, tolerance=1e-4)
    expected = by_hand.integrate(field, NOISE, schedule.plans[0], own, displaced=True)
    with attach(loop, made_for(name, schedule)) as attached:
        replayed = loop(STEPS, first)
    assert torch.allclose(replayed, expected, rtol=1e-6, atol=1e-6)
    assert loop.scheduler.step_index == len(loop.scheduler.timesteps)
    assert loop.transformer.sigmas == pytest.approx([own[k] for k in knots])
    assert attached.stats.warnings == ()


def test_heuns_second_evaluation_leaves_the_latents_as_they_are():
    """Float64 latents stay so, although Heun's own step would give the velocity's float32."""
    loop, returned = Loop(sampler("FlowMatchHeunDiscreteScheduler")), []

    class Noting(Loop):
        def __call__(self, steps: int, first: int = 0, **options: Any) -> None:
            self.scheduler.set_timesteps(steps)
            self.scheduler.set_begin_index(0)
            for t in self.scheduler.timesteps:
                z = NOISE.clone()
                v = self.transformer(z, sigma=1.0).float()
                returned.append((z, self.scheduler.step(v, t, z, return_dict=False)[0]))

    loop.__class__ = Noting
    with attach(loop, made_for("FlowMatchHeunDiscreteScheduler", by_hand.schedule(4, (0, 2)))):
        loop(4)
    assert [result is z for z, result in returned] == [i % 2 == 1 for i in range(7)]


def test_an_error_at_heuns_second_evaluation_leaves_no_trace():
    loop = Loop(sampler("FlowMatchHeunDiscreteScheduler"))
    steps = 4
    with attach(loop, made_for("FlowMatchHeunDiscreteScheduler", by_hand.schedule(steps, (0, 2)))):
        expected = loop(steps)
        whole = loop.transformer.velocity
        loop.transformer.velocity = None
        with pytest.raises(TypeError):
            loop(steps)
        loop.transformer.velocity = whole
        assert torch.equal(loop(steps), expected)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("UniPCMultistepScheduler", None),
        ("FlowMatchHeunDiscreteScheduler", None),
        ("FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler"),
        ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler"),
    ],
)
@pytest.mark.parametrize("schedule", [SCHEDULE, FULL], ids=["cached", "all steps"])
def test_another_sampler_than_the_schedules_is_refused_and_left_alone(here, there, schedule):
    loop = Loop(sampler(here))
    scheduler = loop.scheduler
    with pytest.raises(UnsupportedSchedulerError, match="schedule was made for"):
        attach(loop, made_for(there, schedule))
    assert loop.scheduler is scheduler
