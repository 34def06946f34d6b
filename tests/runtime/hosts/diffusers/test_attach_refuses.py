"""What attach and an attached pipeline refuse, by name and with the fix."""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FluxImg2ImgPipeline,
)
from PIL import Image

from meancache_runtime import attach
from meancache_runtime.errors import (
    AlreadyAttachedError,
    AttachError,
    BudgetError,
    GridMismatchError,
    MeanCacheError,
    ReplacedComponentError,
    ReplayError,
    StepCountError,
    UnsupportedPipelineError,
    UnsupportedSchedulerError,
)
from meancache_runtime.predictors import Hold
from meancache_runtime.schedule import Plan
from tests.counting import count_calls
from tests.plans import SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import run
from tests.tiny import SIDE, call_options
from tests.tiny import tiny_flux as build

SIGMAS = by_hand.shifted(STEPS)


def test_a_schedule_of_several_budgets_asks_which(tiny_flux):
    plans = (Plan(1, (0,), (Hold(),)), Plan(2, (0, 4), (Hold(), Hold())))
    schedule = replace(SCHEDULE, plans=plans)
    with pytest.raises(BudgetError, match="one of 1, 2"):
        attach(tiny_flux, schedule)
    with pytest.raises(BudgetError, match="budget 3; it has 1, 2"):
        attach(tiny_flux, schedule, budget=3)
    with attach(tiny_flux, schedule, budget=2) as attachment:
        run(tiny_flux)
    assert attachment.stats.refreshes == 2


def test_attaching_twice_is_refused_and_the_first_stays(tiny_flux):
    attachment = attach(tiny_flux, SCHEDULE)
    expected = run(tiny_flux)
    with pytest.raises(AlreadyAttachedError, match=r"detach\(\)"):
        attach(tiny_flux, SCHEDULE)
    assert torch.equal(run(tiny_flux), expected)
    attachment.detach()
    attachment.detach()
    with attach(tiny_flux, SCHEDULE):
        assert torch.equal(run(tiny_flux), expected)


@pytest.mark.parametrize("steps", [STEPS - 1, STEPS + 1])
def test_another_number_of_steps(tiny_flux, steps):
    with attach(tiny_flux, SCHEDULE):
        with pytest.raises(StepCountError, match=f"num_inference_steps={STEPS}"):
            run(tiny_flux, num_inference_steps=steps)
        assert run(tiny_flux).isfinite().all()


def test_a_grid_too_far_off(tiny_flux):
    schedule = by_hand.schedule(STEPS, (0, 4), sigmas=SIGMAS, tolerance=0.01)
    near = [1.0, *(s - 0.004 for s in SIGMAS[1:STEPS])]
    tiny_flux.scheduler.set_shift(1.0)
    with attach(tiny_flux, schedule) as attachment:
        run(tiny_flux, sigmas=SIGMAS[:STEPS])
        run(tiny_flux, sigmas=near)
        with pytest.raises(GridMismatchError, match=r"shift.*calibrate"):
            run(tiny_flux)
        assert attachment.stats.denoiser_calls == 0
        with pytest.raises(GridMismatchError, match="monotone"):
            run(tiny_flux, sigmas=[1.0, 0.9, 0.9, *SIGMAS[3:STEPS]])


def test_every_denoiser_call_is_refused_before_it_is_made(tiny_flux):
    calls = count_calls(tiny_flux.transformer)
    with attach(tiny_flux, SCHEDULE), pytest.raises(StepCountError):
        run(tiny_flux, num_inference_steps=3)
    assert calls == []


class Sideways(FlowMatchEulerDiscreteScheduler):
    def step(self, *args: Any, **kwargs: Any) -> Any:
        return super().step(*args, **kwargs)


@pytest.mark.parametrize(
    ("scheduler", "hint"),
    [
        (DDIMScheduler(), "FlowMatchEulerDiscreteScheduler.from_config"),
        (FlowMatchHeunDiscreteScheduler(), "FlowMatchEulerDiscreteScheduler.from_config"),
        (Sideways(), "FlowMatchEulerDiscreteScheduler.from_config"),
        (FlowMatchEulerDiscreteScheduler(stochastic_sampling=True), "stochastic_sampling=False"),
    ],
    ids=["ddim", "heun", "own step", "stochastic"],
)
def test_another_scheduler(tiny_flux, scheduler, hint):
    tiny_flux.scheduler = scheduler
    with pytest.raises(UnsupportedSchedulerError, match=hint):
        attach(tiny_flux, SCHEDULE)
    assert tiny_flux.scheduler is scheduler


def test_a_scheduler_told_to_be_stochastic_while_attached(tiny_flux):
    with attach(tiny_flux, SCHEDULE):
        tiny_flux.scheduler.register_to_config(stochastic_sampling=True)
        with pytest.raises(UnsupportedSchedulerError, match="fresh noise"):
            run(tiny_flux)


def test_a_sampler_that_no_plan_can_stand_for(tiny_flux):
    schedule = replace(SCHEDULE, grid=replace(SCHEDULE.grid, replaces="\x1b[31mDDIMScheduler"))
    with pytest.raises(UnsupportedSchedulerError, match="which no plan can do") as refused:
        attach(tiny_flux, schedule)
    assert "\x1b" not in str(refused.value)


def test_a_subclass_that_keeps_eulers_step_is_fine(tiny_flux):
    tiny_flux.scheduler = type("Mine", (FlowMatchEulerDiscreteScheduler,), {})(shift=3.0)
    with attach(tiny_flux, SCHEDULE):
        assert run(tiny_flux).isfinite().all()


@pytest.mark.parametrize("name", ["transformer", "scheduler"])
def test_a_component_swapped_while_attached(tiny_flux, name):
    attachment = attach(tiny_flux, SCHEDULE)
    other = getattr(build(seed=1), name)
    setattr(tiny_flux, name, other)
    with pytest.raises(ReplacedComponentError, match=rf"pipe\.{name} was replaced.*detach"):
        run(tiny_flux)
    attachment.detach()
    assert getattr(tiny_flux, name) is other
    expected = run(tiny_flux)
    with attach(tiny_flux, by_hand.schedule(STEPS, range(STEPS))):
        assert torch.equal(run(tiny_flux), expected)


def test_a_transformer_swapped_in_mid_run(tiny_flux):
    other = build(seed=1).transformer

    def swap(pipe, step, t, tensors):
        pipe.transformer = other
        return tensors

    with attach(tiny_flux, SCHEDULE), pytest.raises(ReplacedComponentError, match="during a run"):
        run(tiny_flux, callback_on_step_end=swap)


def test_a_run_from_mid_grid_of_another_grid(tiny_flux):
    pipe = FluxImg2ImgPipeline(**tiny_flux.components)
    pipe.set_progress_bar_config(disable=True)
    options = call_options(2 * STEPS) | {"image": Image.new("RGB", (SIDE, SIDE)), "strength": 0.25}
    calls = count_calls(tiny_flux.transformer)
    with (
        attach(pipe, SCHEDULE),
        pytest.raises(StepCountError, match=r"starts at step 12.*takes 4 steps.*calibrate"),
        torch.no_grad(),
    ):
        pipe("a cat", **options)
    assert calls == []


def test_a_shared_scheduler_used_in_mid_run(tiny_flux):
    other = build(seed=1)
    other.scheduler = tiny_flux.scheduler

    def disturb(pipe, step, t, tensors):
        if step == 3:
            run(other)
            pipe.scheduler.set_timesteps(STEPS)
            pipe.scheduler.set_begin_index(0)
        return tensors

    with attach(tiny_flux, SCHEDULE), pytest.raises(StepCountError, match="no other pipeline"):
        run(tiny_flux, callback_on_step_end=disturb)


def test_what_is_no_pipeline():
    with pytest.raises(UnsupportedPipelineError, match="integrate"):
        attach(object(), SCHEDULE)


def test_components_that_are_no_plain_attributes(tiny_flux):
    scheduler = tiny_flux.scheduler

    class Odd:
        transformer = object()

    odd = Odd()
    odd.scheduler = scheduler
    with pytest.raises(UnsupportedPipelineError, match=r"Odd\.transformer.*integrate"):
        attach(odd, SCHEDULE)
    assert odd.scheduler is scheduler
    assert type(odd) is Odd


def test_a_pipeline_that_keeps_its_denoiser_elsewhere(tiny_flux):
    hidden = tiny_flux.transformer

    class Elsewhere(type(tiny_flux)):
        def __call__(self, steps: int) -> None:
            self.scheduler.set_timesteps(steps)
            self.scheduler.step(hidden, self.scheduler.timesteps[0], torch.zeros(1))

    tiny_flux.__class__ = Elsewhere
    with attach(tiny_flux, SCHEDULE), pytest.raises(ReplacedComponentError, match="integrate"):
        tiny_flux(STEPS)


def test_per_token_timesteps(tiny_flux):
    step = tiny_flux.scheduler.step

    class PerToken(type(tiny_flux)):
        def __call__(self) -> None:
            self.scheduler.set_timesteps(STEPS)
            z = torch.zeros(1, 16, 16)
            self.transformer(z)
            self.scheduler.step(z, self.scheduler.timesteps[0], z, per_token_timesteps=z[0])

    tiny_flux.__class__ = PerToken
    vars(tiny_flux)["transformer"] = lambda z: (z,)
    with attach(tiny_flux, SCHEDULE), pytest.raises(UnsupportedSchedulerError, match="per-token"):
        tiny_flux()
    assert tiny_flux.scheduler.step == step


def test_copying_and_pickling_while_attached(tiny_flux):
    with attach(tiny_flux, SCHEDULE):
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(AttachError, match=r"detach\(\) before"):
                make(tiny_flux)
        scheduler = copy.deepcopy(tiny_flux.scheduler)
    assert type(scheduler) is FlowMatchEulerDiscreteScheduler
    assert torch.equal(run(copy.deepcopy(tiny_flux)), run(tiny_flux))


def test_one_pipeline_serves_one_call_at_a_time(tiny_flux):
    started, go_on = threading.Event(), threading.Event()

    def wait(pipe, step, t, tensors):
        started.set()
        go_on.wait(30)
        return tensors

    with attach(tiny_flux, SCHEDULE):
        expected = run(tiny_flux)
        results: list[torch.Tensor] = []
        thread = threading.Thread(
            target=lambda: results.append(run(tiny_flux, callback_on_step_end=wait))
        )
        thread.start()
        assert started.wait(30)
        try:
            with pytest.raises(ReplayError, match="a pipeline of its own"):
                run(tiny_flux)
        finally:
            go_on.set()
            thread.join()
        assert torch.equal(results[0], expected)

        def again(pipe, step, t, tensors):
            run(pipe)

        with pytest.raises(ReplayError, match="running already"):
            run(tiny_flux, callback_on_step_end=again)
        assert torch.equal(run(tiny_flux), expected)


def test_every_error_is_a_meancache_error():
    for error in (AttachError, BudgetError, GridMismatchError, ReplayError, StepCountError):
        assert issubclass(error, MeanCacheError)
