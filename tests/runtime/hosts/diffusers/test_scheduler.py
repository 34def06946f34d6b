"""A pipeline whose scheduler is the plan gives what the same plan gives when it is attached."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxPipeline,
)

from meancache_runtime import MeanCacheScheduler, attach
from meancache_runtime.binding import bind
from meancache_runtime.errors import StepCountError
from meancache_runtime.predictors import Adams, Hold
from tests.counting import count_calls, denoisers_called
from tests.families.case import run as run_case
from tests.plans import BUDGET, FULL, KNOTS, PREDICTORS, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import CFG, WAN, follow, following, run, two_denoisers

CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture
def attached(tiny_flux: FluxPipeline) -> torch.Tensor:
    with attach(tiny_flux, SCHEDULE):
        return run(tiny_flux, **CFG)


def test_its_latents_are_those_of_attach_and_its_loop_runs_once_a_refresh(
    tiny_flux: FluxPipeline, attached: torch.Tensor
) -> None:
    follow(tiny_flux)
    calls, seen = count_calls(tiny_flux.transformer), []
    found = run(
        tiny_flux,
        callback_on_step_end=lambda _pipe, step, _t, inputs: seen.append(step) or inputs,
        **CFG,
    )
    torch.testing.assert_close(found, attached, **CLOSE)
    assert len(calls) == 2 * BUDGET
    assert seen == list(range(BUDGET))
    assert tiny_flux.num_timesteps == BUDGET


def test_a_plan_of_every_step_changes_no_bit(tiny_flux: FluxPipeline) -> None:
    plain = run(tiny_flux)
    follow(tiny_flux, FULL)
    assert torch.equal(run(tiny_flux), plain)


def test_plans_that_aim_at_the_flow_are_followed_as_such(tiny_flux: FluxPipeline) -> None:
    predictors = [Hold(), Adams((1.0, 1.0)), Adams((1.0, 0.9))]
    schedule = by_hand.schedule(STEPS, (0, 2, 5), predictors, finer_steps=3 * STEPS)
    with attach(tiny_flux, schedule):
        expected = run(tiny_flux)
    follow(tiny_flux, schedule)
    torch.testing.assert_close(run(tiny_flux), expected, **CLOSE)


def test_one_object_serves_requests_in_turn_and_after_a_broken_one(
    tiny_flux: FluxPipeline, attached: torch.Tensor
) -> None:
    follow(tiny_flux)

    def broken(_pipe: Any, step: int, _t: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        if step == 2:
            raise ZeroDivisionError
        return inputs

    with pytest.raises(ZeroDivisionError):
        run(tiny_flux, "another", callback_on_step_end=broken)
    first = run(tiny_flux, **CFG)
    run(tiny_flux, "a longer prompt of other words")
    assert torch.equal(run(tiny_flux, **CFG), first)
    torch.testing.assert_close(first, attached, **CLOSE)


def test_a_batch_gives_what_its_samples_give_alone(tiny_flux: FluxPipeline) -> None:
    follow(tiny_flux)
    prompts = ["a cat", "two dogs"]

    def noise(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    both = run(tiny_flux, prompts, generator=[noise(0), noise(1)])
    for i, prompt in enumerate(prompts):
        alone = run(tiny_flux, prompt, generator=noise(i))
        torch.testing.assert_close(both[i : i + 1], alone, rtol=0, atol=1e-5)


def test_it_is_saved_and_loaded_with_its_plan(
    tiny_flux: FluxPipeline, attached: torch.Tensor, tmp_path: Path
) -> None:
    made = follow(tiny_flux)
    made.save_pretrained(tmp_path)
    loaded = MeanCacheScheduler.from_pretrained(tmp_path)
    assert dict(loaded.config).items() >= {"shift": 3.0, "meancache_budget": BUDGET}.items()
    tiny_flux.scheduler = loaded
    torch.testing.assert_close(run(tiny_flux, **CFG), attached, **CLOSE)
    tiny_flux.scheduler = MeanCacheScheduler.from_config(made.config)
    torch.testing.assert_close(run(tiny_flux, **CFG), attached, **CLOSE)
    plain = FlowMatchEulerDiscreteScheduler.from_config(made.config)
    assert plain.config.shift == 3.0


def test_a_pipeline_is_saved_and_loaded_with_its_plan(
    tiny_flux: FluxPipeline, attached: torch.Tensor, tmp_path: Path
) -> None:
    follow(tiny_flux)
    tiny_flux.save_pretrained(tmp_path)
    loaded = FluxPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    # loaded weights lie otherwise in memory, where kernels may sum in another order
    torch.testing.assert_close(run(loaded, **CFG), attached, rtol=0, atol=1e-5)


def test_two_denoisers_take_turns_as_they_do_where_the_plan_is_attached() -> None:
    pipe, switch = two_denoisers(), 3
    schedule = by_hand.schedule(STEPS, (0, 1, switch, 5), PREDICTORS, switches=(switch,))
    with attach(pipe, schedule):
        (expected,) = run_case(pipe, WAN.call(STEPS))
    follow(pipe, schedule)
    calls = denoisers_called(pipe)
    (found,) = run_case(pipe, WAN.call(STEPS))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert calls == 4 * ["transformer"] + 4 * ["transformer_2"]


def test_a_copy_in_mid_run_goes_its_own_way(tiny_flux: FluxPipeline) -> None:
    made = follow(tiny_flux)
    made.set_timesteps(STEPS)
    z = torch.linspace(-1, 1, 5)
    z = made.step(z * 0.5, made.timesteps[0], z).prev_sample
    twin, ends = copy.deepcopy(made), []
    for scheduler in (made, twin):
        latents = z
        for t in scheduler.timesteps[1:]:
            latents = scheduler.step(latents * 0.5, t, latents).prev_sample
        ends.append(latents)
    assert torch.equal(*ends)


def test_another_schedule_can_take_its_place(tiny_flux: FluxPipeline) -> None:
    follow(tiny_flux)
    plain = FlowMatchEulerDiscreteScheduler.from_config(tiny_flux.scheduler.config)
    follow(tiny_flux, FULL)
    found = run(tiny_flux)
    tiny_flux.scheduler = plain
    assert torch.equal(found, run(tiny_flux))


def test_a_start_in_mid_grid_is_refused_and_strength_one_is_followed(
    tiny_flux: FluxPipeline,
) -> None:
    follow(tiny_flux)
    pipe = FluxImg2ImgPipeline.from_pipe(tiny_flux)
    pipe.set_progress_bar_config(disable=True)
    picture = torch.zeros(1, 3, 32, 32)
    with pytest.raises(StepCountError, match="strength 1"):
        run(pipe, image=picture, strength=0.6)
    calls = count_calls(pipe.transformer)
    with pytest.warns(UserWarning, match=f"a strength above {1 - 1 / BUDGET:.2f} counts as 1"):
        found = run(pipe, image=picture, strength=1.0)
    assert found.isfinite().all()
    assert len(calls) == BUDGET
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        assert torch.equal(run(pipe, image=picture, strength=1 - 0.5 / BUDGET), found)


def test_noise_of_later_steps_is_added_in_a_run() -> None:
    made, z = following(), torch.ones(2, 3)
    made.set_timesteps(STEPS)
    made.step(z, made.timesteps[0], z)
    found = made.scale_noise(0 * z, made.timesteps[1:2], z)
    torch.testing.assert_close(found, made.sigmas[1] * z)


def test_its_input_is_not_scaled() -> None:
    z = torch.ones(3)
    assert following().scale_model_input(z, 1.0) is z


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16, torch.float64])
def test_a_timestep_may_have_been_rounded(narrow: torch.dtype) -> None:
    made, z = following(FlowMatchEulerDiscreteScheduler(shift=50.0)), torch.ones(3)
    made.set_timesteps(STEPS)
    made.set_begin_index(0)
    for t in made.timesteps:
        z = made.step(z, t.to(narrow), z).prev_sample
    assert z.isfinite().all()


def test_inpainting_at_full_strength_keeps_what_its_mask_keeps(tiny_flux: FluxPipeline) -> None:
    follow(tiny_flux)
    pipe = FluxInpaintPipeline.from_pipe(tiny_flux)
    pipe.set_progress_bar_config(disable=True)
    calls, picture, mask = (
        count_calls(pipe.transformer),
        torch.zeros(1, 3, 32, 32),
        torch.ones(1, 1, 32, 32),
    )
    mask[..., :16] = 0
    found = [run(pipe, p, image=picture, mask_image=mask, strength=1.0) for p in ("a cat", "owls")]
    one, other = (latents.unflatten(1, (4, 4)) for latents in found)
    assert torch.equal(one[:, :, :2], other[:, :, :2])
    assert not torch.isclose(one[:, :, 2:], other[:, :, 2:]).all(-1).any()
    assert len(calls) == 2 * BUDGET


def test_a_plan_is_bound_to_one_grid_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, bound = following(FlowMatchEulerDiscreteScheduler(shift=4.25)), []
    module = "meancache_runtime.hosts.diffusers.following.bind"
    monkeypatch.setattr(module, lambda *given: bound.append(given) or bind(*given))
    for _ in range(3):
        made.set_timesteps(STEPS)
    assert len(bound) == 1


def test_a_run_says_how_many_steps_it_takes() -> None:
    made = following()
    with pytest.raises(StepCountError, match=f"pass num_inference_steps={STEPS}"):
        made.set_timesteps()
    made.set_timesteps(sigmas=[1 - i / STEPS for i in range(STEPS)])
    assert len(made.timesteps) == BUDGET


def test_every_predictor_survives_the_configuration() -> None:
    schedule = by_hand.schedule(STEPS, KNOTS, PREDICTORS, switches=(3,))
    made = MeanCacheScheduler.from_schedule(
        FlowMatchEulerDiscreteScheduler(shift=2.0), schedule, budget=BUDGET
    )
    again = MeanCacheScheduler.from_config(made.config)
    assert again._plan == schedule.plans[0]
    assert again._grid == schedule.grid
