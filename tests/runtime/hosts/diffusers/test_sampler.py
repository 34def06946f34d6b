"""Which samplers a plan can stand for, and the step that it takes in their place."""

from __future__ import annotations

from itertools import pairwise, product

import diffusers
import pytest
import torch

from meancache_runtime.errors import UnsupportedSchedulerError
from meancache_runtime.hosts.diffusers.sampler import (
    check_sampler,
    is_inner,
    replaced,
    run_sigmas,
    take,
)
from tests.families.versions import came_with
from tests.runtime.hosts.diffusers.tiny_runs import REPLACEABLE, sampler

ANCESTRAL = "LTXEulerAncestralRFScheduler"


def test_eulers_own_steps_are_not_replaced():
    assert replaced(sampler("FlowMatchEulerDiscreteScheduler")) is None


@pytest.mark.parametrize("name", REPLACEABLE)
def test_a_deterministic_sampler_of_a_flow_can_be_replaced(name):
    assert replaced(sampler(name)) == name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("DPMSolverSinglestepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("FlowMatchLCMScheduler", {}),
        ("SASolverScheduler", {}),
    ],
)
def test_fresh_noise_in_each_step_is_refused_by_name(name, options):
    with pytest.raises(UnsupportedSchedulerError, match=f"{name} draws fresh noise in each step"):
        replaced(sampler(name, **options))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(ANCESTRAL, marks=came_with("0.37", ANCESTRAL)),
        "SCMScheduler",
        "EulerAncestralDiscreteScheduler",
    ],
)
def test_samplers_that_are_noisy_by_themselves_are_refused_by_name(name):
    scheduler = getattr(diffusers, name)()
    with pytest.raises(UnsupportedSchedulerError, match=f"{name} draws fresh noise in each step"):
        replaced(scheduler)


def test_a_sampler_that_stops_before_the_flows_end_is_refused():
    scheduler = sampler("DEISMultistepScheduler")
    scheduler.set_timesteps(6)
    assert scheduler.sigmas[-1] == scheduler.sigmas[-2] > 0.1
    with pytest.raises(UnsupportedSchedulerError, match="DEISMultistepScheduler ends a flow"):
        replaced(scheduler)


@pytest.mark.parametrize("name", REPLACEABLE[:3])
@pytest.mark.parametrize(
    "change", [{"use_flow_sigmas": False}, {"prediction_type": "epsilon"}], ids=["sigmas", "noise"]
)
def test_a_sampler_that_does_not_follow_a_flow_is_refused(name, change):
    with pytest.raises(UnsupportedSchedulerError, match=f"{name} does not follow a flow"):
        replaced(sampler(name, **change))


def test_a_schedule_for_euler_on_another_sampler_names_both_fixes():
    message = r"plain Euler steps.*samples with UniPCMultistepScheduler.*from_config.*or calibrate"
    with pytest.raises(UnsupportedSchedulerError, match=message):
        check_sampler(sampler("UniPCMultistepScheduler"), None)


@pytest.mark.parametrize("here", ["FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_a_schedule_for_another_sampler_is_refused(here):
    message = f"made for UniPCMultistepScheduler.*samples with {here}.*calibrate with {here}"
    with pytest.raises(UnsupportedSchedulerError, match=message):
        check_sampler(sampler(here), "UniPCMultistepScheduler")


@pytest.mark.parametrize("name", REPLACEABLE)
def test_a_run_of_n_steps_has_n_plus_1_falling_levels(name):
    scheduler = sampler(name)
    scheduler.set_timesteps(6)
    levels = run_sigmas(scheduler)
    assert len(levels) == 7
    assert all(a > b for a, b in pairwise(levels))
    assert levels[-1] == 0


def test_repeated_levels_of_other_samplers_are_not_hidden():
    scheduler = sampler("FlowMatchEulerDiscreteScheduler")
    scheduler.set_timesteps(sigmas=[1.0, 0.5, 0.5])
    assert len(run_sigmas(scheduler)) == 4
    assert not is_inner(scheduler, 1)


def test_heuns_second_evaluations_are_the_odd_iterations():
    scheduler = sampler("FlowMatchHeunDiscreteScheduler")
    scheduler.set_timesteps(4)
    assert len(scheduler.timesteps) == 7
    assert [is_inner(scheduler, i) for i in range(7)] == [i % 2 == 1 for i in range(7)]
    scheduler.set_begin_index(4)
    assert run_sigmas(scheduler) == run_sigmas(scheduler, 0)[2:]


@pytest.mark.parametrize("name", REPLACEABLE)
def test_the_step_in_its_place_has_the_dtype_of_the_samplers_own(name):
    for latents, velocities in product([torch.float32, torch.bfloat16], repeat=2):
        scheduler, z = sampler(name), torch.ones(1, 2, 3, 3, dtype=latents)
        v = torch.ones_like(z, dtype=velocities)
        scheduler.set_timesteps(6)
        own = scheduler.step(v, scheduler.timesteps[0], z, return_dict=False)[0]
        scheduler.set_timesteps(6)
        scheduler.set_begin_index(0)
        scheduler._init_step_index(scheduler.timesteps[0])
        taken = take(scheduler, v, z)
        assert taken.prev_sample.dtype == taken[0].dtype == own.dtype, (latents, velocities)


def test_the_step_in_its_place_is_eulers_and_rounded_once():
    scheduler = sampler("UniPCMultistepScheduler")
    scheduler.set_timesteps(50)
    scheduler.set_begin_index(7)
    scheduler._init_step_index(scheduler.timesteps[7])
    generator = torch.Generator().manual_seed(0)
    z, v = (torch.randn(2, 64, generator=generator).bfloat16() for _ in range(2))
    h = scheduler.sigmas[8].double() - scheduler.sigmas[7].double()
    exact = z.double() + h * v.double()
    taken = take(scheduler, v, z).prev_sample
    assert taken.dtype == torch.bfloat16
    assert torch.equal(taken, exact.float().bfloat16())
    wide = take(scheduler, v, z.float()).prev_sample
    assert wide.dtype == torch.float32
    assert torch.allclose(wide.double(), exact, rtol=1e-6, atol=1e-6)
