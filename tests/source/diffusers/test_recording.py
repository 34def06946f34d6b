"""A recorded run is the plain one; resumed from its latents, it costs only the steps it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime.errors import UnsupportedSchedulerError
from tests.counting import count_calls
from tests.tiny import SIDE, TEXT_LENGTH, call_options

STEPS = 6
TRUE_CFG = {"guidance_argument": "true_cfg_scale", "negative_prompt": "a dog", "guidance": 3.0}


def pipeline(pipe: FluxPipeline, **options: Any) -> Pipeline:
    recipe: dict[str, Any] = {"steps": STEPS, "height": SIDE, "width": SIDE, "dtype": "float32"}
    recipe |= {"model": "tiny", "guidance": 1.0, "call": {"max_sequence_length": TEXT_LENGTH}}
    return Pipeline(pipe, Recipe.model_validate(recipe | options), "tiny")


@pytest.fixture
def calls(tiny_flux: FluxPipeline) -> list[int]:
    """One item for each time that the denoiser has really run."""
    return count_calls(tiny_flux.transformer)


def remainder(whole: Trajectory, step: int, until: int = STEPS) -> Trajectory:
    return Trajectory(
        whole.sigmas[step : until + 1],
        whole.latents[step : until + 1],
        whole.velocities[step:until],
    )


def same(a: Trajectory, b: Trajectory) -> bool:
    return (
        a.sigmas == b.sigmas
        and torch.equal(a.latents, b.latents)
        and torch.equal(a.velocities, b.velocities)
    )


@pytest.mark.parametrize("options", [{}, TRUE_CFG], ids=["no CFG", "true CFG"])
@pytest.mark.parametrize("step", range(STEPS))
def test_resuming_from_recorded_latents_gives_the_rest_bit_for_bit(
    tiny_flux: FluxPipeline, calls: list[int], step: int, options: dict[str, Any]
) -> None:
    source = pipeline(tiny_flux, **options)
    whole, _ = source.record("a cat", 0)
    branches = len(calls) // STEPS
    calls.clear()
    rest = source.resume("a cat", 0, step, whole.latents[step])
    assert same(rest, remainder(whole, step))
    assert len(calls) == branches * (STEPS - step)


def test_resuming_stops_before_the_step_that_is_not_wanted(
    tiny_flux: FluxPipeline, calls: list[int]
) -> None:
    source = pipeline(tiny_flux)
    whole, _ = source.record("a cat", 0)
    for step, until in [(0, 1), (2, 3), (2, 5), (5, 6)]:
        calls.clear()
        found = source.resume("a cat", 0, step, whole.latents[step], until)
        assert same(found, remainder(whole, step, until))
        assert len(calls) == until - step


def test_an_unknown_form_of_the_denoisers_call_costs_one_step_once(
    tiny_flux: FluxPipeline, calls: list[int]
) -> None:
    whole, _ = pipeline(tiny_flux).record("a cat", 0)
    fresh = pipeline(tiny_flux)
    calls.clear()
    assert same(fresh.resume("a cat", 0, 4, whole.latents[4]), remainder(whole, 4))
    assert len(calls) == 1 + 2
    fresh.resume("a cat", 0, 4, whole.latents[4])
    assert len(calls) == 1 + 2 + 2


def test_other_latents_lead_elsewhere_and_are_where_the_run_begins(tiny_flux: FluxPipeline) -> None:
    source = pipeline(tiny_flux)
    whole, _ = source.record("a cat", 0)
    for step in (0, 3):
        moved = whole.latents[step] + 0.1
        rest = source.resume("a cat", 0, step, moved)
        assert torch.equal(rest.latents[0], moved)
        assert not torch.equal(rest.velocities[0], whole.velocities[step])
        rest.check_euler()


@pytest.mark.parametrize("options", [{}, TRUE_CFG], ids=["no CFG", "true CFG"])
@pytest.mark.parametrize("step", [0, 3])
def test_a_batch_is_resumed_in_one_call_and_agrees_with_its_samples(
    tiny_flux: FluxPipeline, calls: list[int], step: int, options: dict[str, Any]
) -> None:
    source = pipeline(tiny_flux, **options)
    prompts, seeds = ("a cat", "an owl"), (3, 4)
    alone = [source.record(*pair)[0] for pair in zip(prompts, seeds, strict=True)]
    latents = torch.cat([sample.latents[step] for sample in alone])
    source.resume(prompts, seeds, step, latents, step + 1)
    calls.clear()
    batch = source.resume(prompts, seeds, step, latents, step + 2)
    assert batch.velocities.shape == (2, 2, *latents.shape[1:])
    assert len(calls) == (4 if options else 2)
    for i, sample in enumerate(alone):
        expected = sample.velocities[step : step + 2, 0]
        torch.testing.assert_close(batch.velocities[:, i], expected, rtol=1e-4, atol=1e-4)


def test_samples_recorded_together_agree_with_those_recorded_alone(tiny_flux: FluxPipeline) -> None:
    source = pipeline(tiny_flux)
    prompts, seeds = ("a cat", "an owl"), (3, 4)
    together, _ = source.record_batch(prompts, seeds)
    for pair, found in zip(zip(prompts, seeds, strict=True), together, strict=True):
        alone, _ = source.record(*pair)
        assert found.latents.shape == alone.latents.shape
        torch.testing.assert_close(found.latents, alone.latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("until", [None, 3])
def test_an_exception_in_mid_run_leaves_the_pipeline_as_it_was(
    tiny_flux: FluxPipeline, until: int | None
) -> None:
    source = pipeline(tiny_flux)
    whole, _ = source.record("a cat", 0)
    before = (type(tiny_flux), dict(vars(tiny_flux)))
    source.resume("a cat", 0, 2, whole.latents[2], until)
    hook = tiny_flux.transformer.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        source.resume("a cat", 0, 2, whole.latents[2], until)
    hook.remove()
    after = dict(vars(tiny_flux))
    assert type(tiny_flux) is before[0]
    for name in ("transformer", "scheduler", "vae", "text_encoder"):
        assert after[name] is before[1][name]
    assert same(source.record("a cat", 0)[0], whole)


def test_an_abandoned_run_frees_the_offloaded_models_as_a_whole_one_does(
    tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pipeline(tiny_flux)
    whole, _ = source.record("a cat", 0)
    freed: list[None] = []
    monkeypatch.setattr(FluxPipeline, "maybe_free_model_hooks", lambda _: freed.append(None))
    for until in (3, 6):
        source.resume("a cat", 0, 2, whole.latents[2], until)
    assert len(freed) == 2


@pytest.mark.parametrize(("step", "until"), [(-1, 3), (3, 3), (6, None), (2, 7)])
def test_steps_out_of_range_are_refused(
    tiny_flux: FluxPipeline, step: int, until: int | None
) -> None:
    with pytest.raises(InputError, match="choose 0 <= step < until <= 6"):
        pipeline(tiny_flux).resume("a cat", 0, step, torch.zeros(1, 16, 16), until)


def test_latents_of_another_shape_are_refused_by_shape(tiny_flux: FluxPipeline) -> None:
    with pytest.raises(InputError, match=r"shape \[2, 16, 16\], the pipeline's \[1, 16, 16\]"):
        pipeline(tiny_flux).resume("a cat", 0, 2, torch.zeros(2, 16, 16))


def test_recorded_latents_and_velocities_are_those_of_the_plain_run(
    tiny_flux: FluxPipeline,
) -> None:
    seen: list[torch.Tensor] = []

    def keep(_pipe: Any, _i: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].clone())
        return tensors

    final = tiny_flux("a cat", callback_on_step_end=keep, **call_options()).images
    trajectory, _ = pipeline(tiny_flux).record("a cat", 0)
    assert torch.equal(trajectory.latents[1:], torch.stack(seen))
    assert torch.equal(trajectory.latents[-1], final)
    sigmas = torch.tensor(trajectory.sigmas)
    steps = (trajectory.latents[1:] - trajectory.latents[:-1]) / (sigmas[1:] - sigmas[:-1]).view(
        -1, 1, 1, 1
    )
    torch.testing.assert_close(trajectory.velocities, steps, rtol=1e-3, atol=1e-4)


def test_the_guided_velocity_is_recorded_under_true_cfg(tiny_flux: FluxPipeline) -> None:
    trajectory, _ = pipeline(tiny_flux, **TRUE_CFG).record("a cat", 0)
    trajectory.check_euler()
    plain, _ = pipeline(tiny_flux).record("a cat", 0)
    assert not torch.allclose(trajectory.velocities, plain.velocities)


def test_recording_leaves_the_pipeline_as_it_was(tiny_flux: FluxPipeline) -> None:
    before = (type(tiny_flux), tiny_flux.scheduler, tiny_flux.transformer)
    pipeline(tiny_flux).record("a cat", 0)
    assert (type(tiny_flux), tiny_flux.scheduler, tiny_flux.transformer) == before


def test_a_scheduler_that_adds_noise_in_each_step_is_refused(tiny_flux: FluxPipeline) -> None:
    tiny_flux.scheduler = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    with pytest.raises(UnsupportedSchedulerError, match="noise"):
        pipeline(tiny_flux).record("a cat", 0)
