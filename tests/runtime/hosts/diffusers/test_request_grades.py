"""The calibrated request prints nothing; every other one is named, and a strict run refuses it."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig, FluxPipeline, QwenImagePipeline

from meancache_plan import calibrate, solve
from meancache_runtime import MeanCacheScheduler, attach
from meancache_runtime.annotations import Also, Generation
from meancache_runtime.call_settings import guidance
from meancache_runtime.errors import NonFiniteError, RequestMismatchError, StackedCacheError
from meancache_runtime.requests import compare
from meancache_runtime.schedule import Schedule
from tests.families.case import Case
from tests.families.case import run as run_case
from tests.families.lumina2 import CASES as LUMINA
from tests.families.stable_diffusion_3 import CASES as SD3
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.other_requests import OTHERS
from tests.tiny import SIDE, call_options, tiny_flux
from tests.tiny_families import qwen_image_options, tiny_qwen_image

STEPS = 6
CALL = {
    "num_inference_steps": STEPS,
    "height": SIDE,
    "width": SIDE,
    "max_sequence_length": 12,
    "negative_prompt": "",
    "true_cfg_scale": 2.5,
}
BUDGET = 3


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    pipe = tiny_flux()
    profile = calibrate(pipe, ["a cat", "a dog"], call=CALL, propagation=False)
    found = solve(profile, [BUDGET]).replayable()
    wide = replace(found.plans[0], innovation=(1e6,) * (BUDGET - 1))  # two prompts bound little
    return replace(found, plans=(wide,))


@pytest.fixture
def pipe() -> FluxPipeline:
    return tiny_flux()


def run(pipe: Any, **options: Any) -> Any:
    usual = {**CALL, "output_type": "latent", "generator": torch.Generator().manual_seed(0)}
    with torch.no_grad():
        return pipe("a cow", **usual | options).images


@contextmanager
def silence() -> Generator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_calibration_notes_how_its_samples_were_made(schedule: Schedule) -> None:
    made = schedule.generation
    assert made is not None
    assert made.calls == (2,) * STEPS
    assert made.elements == 16 * 16
    assert (made.dtype, made.attention, made.quantisation) == ("float32", "native", "none")
    assert made.negative_prompt is False
    assert made.guidance == {"true_cfg_scale": 2.5}


@pytest.mark.parametrize("strict", [False, True])
def test_the_calibrated_request_prints_nothing(
    pipe: FluxPipeline, schedule: Schedule, strict: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with silence(), attach(pipe, schedule, strict=strict) as attachment:
        run(pipe)
        run(pipe, num_images_per_prompt=2)
    assert (attachment.stats.request, attachment.stats.warnings) == ("same", ())
    assert capfd.readouterr() == ("", "")
    pipe.scheduler = MeanCacheScheduler.from_schedule(pipe.scheduler, schedule, budget=BUDGET)
    with silence():
        run(pipe)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(params=OTHERS)
def other(
    request: pytest.FixtureRequest, pipe: FluxPipeline
) -> Generator[tuple[dict[str, Any], str]]:
    """Options of another request, by a pipeline changed for it, and what is to be said of it."""
    options, change, says = OTHERS[request.param]
    pipe.default_sample_size = SIDE // pipe.vae_scale_factor * 2
    with change(pipe):
        yield options, says


def test_another_request_is_named_in_every_run_and_said_aloud_once(
    pipe: FluxPipeline, schedule: Schedule, other: tuple[dict[str, Any], str]
) -> None:
    options, says = other
    with attach(pipe, schedule) as attachment:
        with pytest.warns(UserWarning, match=says):
            run(pipe, **options)
        with silence():
            run(pipe, **options)
    assert attachment.stats.request == "unknown"
    assert "request" in {warning.kind for warning in attachment.stats.warnings}


def test_a_strict_attachment_refuses_all_of_them(
    pipe: FluxPipeline, schedule: Schedule, other: tuple[dict[str, Any], str]
) -> None:
    options, says = other
    strict = attach(pipe, schedule, strict=True)
    with strict, pytest.raises(RequestMismatchError, match=says):
        run(pipe, **options)


def _guidance_ends(pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """As diffusers' documentation has it: both branches in a batch until step 3, then one."""
    if step == 3:
        pipe._guidance_scale = 0.0
        return {name: tensor.chunk(2)[-1] for name, tensor in tensors.items() if name != "latents"}
    return tensors


@pytest.mark.parametrize("strict", [False, True])
def test_guidance_that_a_callback_ends_is_seen_at_the_step_after(strict: bool) -> None:
    case: Case = SD3[0]
    pipe = case.build()
    scales = guidance(case.call(case.steps))
    made = Generation(None, None, None, scales, "float32", calls=(2,) * case.steps)
    schedule = replace(by_hand.schedule(case.steps, (0, 2, 6)), generation=made)
    inputs = ["latents", "prompt_embeds", "pooled_prompt_embeds"]
    ending = {
        "callback_on_step_end": _guidance_ends,
        "callback_on_step_end_tensor_inputs": inputs,
    }
    says = "at step 4 a sample goes through the denoiser once, and in calibration it did twice"
    refused = "at step 4 guidance_scale is 0, and it was 4 when the run began"
    with attach(pipe, schedule, strict=strict):
        with silence():
            run_case(pipe, case.call(case.steps))
        expected = pytest.raises(RequestMismatchError, match=refused) if strict else None
        with expected or pytest.warns(UserWarning, match=says):
            run_case(pipe, case.call(case.steps) | ending)


@pytest.mark.parametrize("strict", [False, True])
def test_a_guidance_interval_is_seen_where_it_ends_unless_it_was_calibrated(strict: bool) -> None:
    case: Case = LUMINA[0]
    pipe, half = case.build(), case.steps // 2
    options = case.call(case.steps) | {"cfg_trunc_ratio": 0.5}
    plain = by_hand.schedule(case.steps, (0, 2, 6))
    for calls in ((2,) * case.steps, (2,) * half + (1,) * half):
        made = Generation(None, None, None, guidance(options), "float32", calls=calls)
        says = f"at step {half} a sample goes through the denoiser once"
        refused = pytest.raises(RequestMismatchError, match=says)
        expected = refused if strict else pytest.warns(UserWarning, match=says)
        told = expected if calls[half] == 2 else silence()
        with attach(pipe, replace(plain, generation=made), strict=strict), told:
            run_case(pipe, options)


def test_calls_are_counted_by_sample_be_they_apart_or_in_one_batch() -> None:
    pipe: QwenImagePipeline = tiny_qwen_image()
    made = Generation(None, None, None, {}, "float32", calls=(2,) * STEPS)
    schedule = replace(by_hand.schedule(STEPS, (0, 2, 4)), generation=made)
    with silence(), attach(pipe, schedule, strict=True), torch.no_grad():
        pipe(**qwen_image_options(STEPS), num_images_per_prompt=3)


def test_not_a_number_is_refused_at_the_knot(pipe: FluxPipeline, schedule: Schedule) -> None:
    with torch.no_grad():
        pipe.transformer.proj_out.weight.fill_(torch.nan)
    with attach(pipe, schedule), pytest.raises(NonFiniteError, match="at knot 0"):
        run(pipe)


def test_a_cache_enabled_after_attach_is_refused(pipe: FluxPipeline, schedule: Schedule) -> None:
    with attach(pipe, schedule):
        run(pipe)
        pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
        with pytest.raises(StackedCacheError, match=r"FirstBlockCache answers some .*transformer"):
            run(pipe)
        pipe.transformer.disable_cache()
        run(pipe)


MEASURED = {"psnr_latent": 40.0, "psnr": 40.0, "ssim": 1.0, "speedup": 2.0}


def test_a_measured_request_is_neither_warned_of_nor_refused(
    pipe: FluxPipeline, schedule: Schedule
) -> None:
    row = Also({"true_cfg_scale": 4.0}, 256, (2,) * STEPS, MEASURED)
    known = replace(schedule, also={BUDGET: (row,)})
    with silence(), attach(pipe, known, strict=True) as attachment:
        run(pipe, true_cfg_scale=4.0)
        assert attachment.stats.request == "measured"
        with pytest.raises(RequestMismatchError, match="true_cfg_scale 5"):
            run(pipe, true_cfg_scale=5.0)
        with pytest.raises(RequestMismatchError, match="height"):
            run(pipe, true_cfg_scale=4.0, height=2 * SIDE)
        with pytest.raises(RequestMismatchError, match="through the denoiser once"):
            run(pipe, true_cfg_scale=4.0, negative_prompt=None)


def test_a_scheduler_alone_sees_size_and_precision(pipe: FluxPipeline, schedule: Schedule) -> None:
    own = pipe.scheduler
    for options, says in (({"height": 2 * SIDE}, "latents have 512"), ({}, "dtype bfloat16")):
        pipe.scheduler = MeanCacheScheduler.from_schedule(own, schedule, budget=BUDGET)
        with pytest.warns(UserWarning, match=says):
            run(pipe, **options)
        with silence():
            run(pipe, **options)
        pipe.to(torch.bfloat16)


def test_what_is_not_seen_or_was_not_noted_says_nothing() -> None:
    made = Generation(64, None, None, {"guidance_scale": 3.5}, "bfloat16")
    plain = by_hand.schedule(STEPS, (0, 2))
    schedule = replace(plain, generation=made)
    assert compare({}, schedule, 2).grade == "same"
    assert compare({"width": 96, "attention": "flash", "frames": 5}, schedule, 2).grade == "same"
    assert compare({"height": None, "dtype": None}, schedule, 2).grade == "same"
    assert compare({"height": 96}, plain, 2).grade is None


def test_the_usual_call_of_the_tests_is_unknown_to_a_schedule_with_guidance(
    pipe: FluxPipeline, schedule: Schedule
) -> None:
    with attach(pipe, schedule), pytest.warns(UserWarning, match="true_cfg_scale 1,"):
        pipe("a cat", **call_options(STEPS))
