"""What a scheduler that is a plan refuses, by name and with the fix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    UniPCMultistepScheduler,
)

from meancache_runtime import MeanCacheScheduler, attach
from meancache_runtime.binding import bind
from meancache_runtime.errors import (
    BudgetError,
    GridMismatchError,
    ReplayError,
    ScheduleError,
    StepCountError,
    UnsupportedSchedulerError,
)
from meancache_runtime.predictors import Hold
from tests.plans import BUDGET, PLAN, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import follow, following, run


def test_another_step_count_and_another_grid_are_refused(tiny_flux: FluxPipeline) -> None:
    sigmas = by_hand.schedule(STEPS, (0, 3), [Hold(), Hold()], [1 - i / STEPS for i in range(9)])
    follow(tiny_flux)
    with pytest.raises(StepCountError, match=f"made for {STEPS}"):
        run(tiny_flux, num_inference_steps=STEPS + 1)
    follow(tiny_flux, sigmas)
    with pytest.raises(GridMismatchError, match="calibrate at these"):
        run(tiny_flux)


@pytest.mark.parametrize("first", [0, 1, 2, BUDGET])
def test_noise_of_another_step_than_the_first_is_refused_before_a_run(first: int) -> None:
    """Of a pipeline that cuts the timesteps short itself, and tells the scheduler nothing."""
    made, z = following(), torch.ones(2, 3)
    made.set_timesteps(STEPS)
    timestep = made.timesteps[first : first + 1].repeat(2 if first < BUDGET else 1)
    if first == 0:
        for dtype in (torch.float32, torch.bfloat16):
            torch.testing.assert_close(made.scale_noise(0 * z, timestep.to(dtype), z), z)
        return
    with pytest.raises(StepCountError, match="strength 1"):
        made.scale_noise(0 * z, timestep, z)


def test_steps_out_of_order_are_refused() -> None:
    made = following()
    z = torch.ones(3)
    made.set_timesteps(STEPS)
    with pytest.raises(StepCountError, match="in order"):
        made.step(z, made.timesteps[1], z)
    made.set_timesteps(STEPS)
    with pytest.raises(UnsupportedSchedulerError, match="per-token"):
        made.step(z, made.timesteps[0], z, per_token_timesteps=z)
    with pytest.raises(UnsupportedSchedulerError, match="per-token"):
        made.step(z, made.timesteps[0], z, 0.0, 0.0, 1.0, 1.0, None, z)


def test_a_step_before_or_after_a_run_or_of_another_run_is_refused() -> None:
    made = following()
    z = torch.ones(3)
    with pytest.raises(StepCountError, match="call set_timesteps"):
        made.step(z, made.timesteps[0], z)
    made.set_timesteps(STEPS)
    made.step(z, made.timesteps[0], z)
    with pytest.raises(StepCountError, match="one run at a time"):
        made.step(torch.ones(2, 3), made.timesteps[1], torch.ones(2, 3))
    for t in made.timesteps[1:]:
        made.step(z, t, z)
    with pytest.raises(StepCountError, match="no step"):
        made.step(z, made.timesteps[0], z)


@pytest.mark.parametrize("other", [123.4, 0, torch.tensor(123.4), torch.tensor([123.4])])
def test_a_timestep_that_is_none_of_the_run_is_refused(other: Any) -> None:
    made, z = following(), torch.ones(3)
    made.set_timesteps(STEPS)
    with pytest.raises(StepCountError, match=r"where 1000\.0 of step 0 .* is due: take the steps"):
        made.step(z, other, z)


def test_the_first_step_of_another_run_is_not_taken_for_the_second_of_this() -> None:
    made, z = following(), torch.ones(3)
    made.set_timesteps(STEPS)
    made.step(z, made.timesteps[0], z)
    with pytest.raises(StepCountError, match="one run at a time"):
        made.step(2 * z, made.timesteps[0], 2 * z)


def test_a_configuration_without_a_plan_and_what_is_no_schedule_are_refused_by_name(
    tiny_flux: FluxPipeline,
) -> None:
    plain = tiny_flux.scheduler
    made = [
        lambda: MeanCacheScheduler.from_config(plain.config),
        MeanCacheScheduler,
        lambda: MeanCacheScheduler(SCHEDULE, 4),
    ]
    for make in made:
        with pytest.raises(ScheduleError, match=r"MeanCacheScheduler\.from_schedule\("):
            make()
    for wrong in ("schedule.json", PLAN, bind(PLAN, by_hand.shifted(STEPS))):
        with pytest.raises(ScheduleError, match="give what load_schedule"):
            MeanCacheScheduler.from_schedule(plain, wrong, budget=4)
    with pytest.raises(UnsupportedSchedulerError):
        MeanCacheScheduler.from_schedule(tiny_flux, SCHEDULE, budget=4)


@pytest.mark.parametrize("wrong", ["8", 8.0, 0, -5])
def test_what_is_no_number_of_steps_is_refused(wrong: Any) -> None:
    with pytest.raises(StepCountError, match=f"not a number of steps: pass {STEPS}"):
        following().set_timesteps(wrong)


def test_only_a_scheduler_of_eulers_own_class_can_be_followed() -> None:
    class Other(FlowMatchEulerDiscreteScheduler):
        pass

    with pytest.raises(UnsupportedSchedulerError, match="samples with Other"):
        following(Other())
    for wrong in (FlowMatchEulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler().config):
        with pytest.raises(UnsupportedSchedulerError, match=r"give pipe\.scheduler"):
            following(wrong)


def test_a_schedule_that_is_no_json_is_refused() -> None:
    with pytest.raises(ScheduleError, match="no JSON"):
        MeanCacheScheduler({"a": object()}, BUDGET)


def test_other_samplers_and_budgets_are_refused(tiny_flux: FluxPipeline) -> None:
    unipc = UniPCMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
    )
    with pytest.raises(UnsupportedSchedulerError, match="from_config"):
        MeanCacheScheduler.from_schedule(unipc, SCHEDULE, budget=BUDGET)
    replacing = by_hand.schedule(
        STEPS, (0, 3), [Hold(), Hold()], replaces="UniPCMultistepScheduler"
    )
    with pytest.raises(UnsupportedSchedulerError, match=r"use meancache_runtime\.attach"):
        MeanCacheScheduler.from_schedule(tiny_flux.scheduler, replacing, budget=2)
    with pytest.raises(BudgetError, match="no plan for budget 5"):
        MeanCacheScheduler.from_schedule(tiny_flux.scheduler, SCHEDULE, budget=5)
    with pytest.raises(ScheduleError):
        MeanCacheScheduler(meancache_schedule={}, meancache_budget=4)


def test_fresh_noise_in_each_step_is_refused_however_it_is_asked_for() -> None:
    told = following()
    told.register_to_config(stochastic_sampling=True)
    made = [
        lambda: told.set_timesteps(STEPS),
        lambda: following(FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)),
        lambda: MeanCacheScheduler.from_config(following().config, stochastic_sampling=True),
    ]
    for make in made:
        with pytest.raises(UnsupportedSchedulerError, match="stochastic_sampling=False"):
            make()


def test_attach_refuses_a_pipeline_that_follows_a_plan_by_its_scheduler(
    tiny_flux: FluxPipeline,
) -> None:
    follow(tiny_flux)
    with pytest.raises(UnsupportedSchedulerError, match="follows a schedule already"):
        attach(tiny_flux, SCHEDULE)


def test_what_a_step_or_a_configuration_cannot_have_is_refused_by_name() -> None:
    scheduler = following()
    scheduler.set_timesteps(STEPS)
    noise = torch.zeros(1, 4)
    empty: Any = None
    with pytest.raises(ReplayError, match="model_output is a NoneType: give step a tensor"):
        scheduler.step(empty, scheduler.timesteps[0], noise)
    with pytest.raises(ReplayError, match="sample is a list"):
        scheduler.step(noise, scheduler.timesteps[0], [0.0])
    with pytest.raises(UnsupportedSchedulerError, match=r"step: got an unexpected .*'eta'"):
        scheduler.step(noise, scheduler.timesteps[0], noise, eta=1.0)
    scheduler.step(noise, scheduler.timesteps[0], noise)  # nothing was counted
    config = {k: v for k, v in scheduler.config.items() if k.startswith("meancache")}
    with pytest.raises(UnsupportedSchedulerError, match="has no setting beta_start: leave it out"):
        MeanCacheScheduler(**config, beta_start=0.1)
