"""Pipelines that change latents between steps, as inpainting does, are recorded and resumed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxInpaintPipeline, FluxPipeline
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from tests.families.pictures import mask, picture
from tests.tiny import SIDE, TEXT_LENGTH, call_options

STEPS = 6
MASKED: dict[str, Any] = {"image": picture(SIDE), "mask_image": mask(SIDE), "strength": 1.0}


class Inpainting(Pipeline):
    """The pipeline with pictures, which no recipe can hold."""

    def run(self, prompt: Any, seed: Any, *, steps: int | None = None, **extra: Any) -> Any:
        return super().run(prompt, seed, steps=steps, **MASKED, **extra)


@pytest.fixture
def source(tiny_flux: FluxPipeline) -> Inpainting:
    pipe = FluxInpaintPipeline.from_pipe(tiny_flux)
    pipe.set_progress_bar_config(disable=True)
    call = {"max_sequence_length": TEXT_LENGTH}
    options = {"height": SIDE, "width": SIDE, "guidance": 1.0, "call": call}
    recipe = Recipe.model_validate({"steps": STEPS, "dtype": "float32", **options})
    return Inpainting(pipe, recipe, "tiny")


def test_recorded_latents_are_those_that_each_step_begins_with(source: Inpainting) -> None:
    seen: list[Tensor] = []

    def keep(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append(tensors["latents"].clone())
        return tensors

    source.pipe("a cat", callback_on_step_end=keep, **MASKED, **call_options(STEPS))
    trajectory, _ = source.record("a cat", 0)
    assert trajectory.edited
    assert torch.equal(trajectory.latents[1:-1], torch.stack(seen[:-1]))


def test_the_last_latents_are_where_the_last_step_led(source: Inpainting) -> None:
    trajectory, _ = source.record("a cat", 0)
    begun, velocity = trajectory.latents[-2], trajectory.velocities[-1]
    led = begun + (trajectory.sigmas[-1] - trajectory.sigmas[-2]) * velocity
    torch.testing.assert_close(trajectory.latents[-1], led)


@pytest.mark.parametrize("step", range(STEPS))
def test_resuming_an_edited_run_gives_the_rest_bit_for_bit(source: Inpainting, step: int) -> None:
    whole, _ = source.record("a cat", 0)
    rest = source.resume("a cat", 0, step, whole.latents[step])
    assert torch.equal(rest.latents, whole.latents[step:])
    assert torch.equal(rest.velocities, whole.velocities[step:])


def test_a_pipeline_that_takes_no_first_latents_says_so(source: Inpainting) -> None:
    whole, _ = source.record("a cat", 0)
    with pytest.raises(InputError, match="starts from latents of its own"):
        source.resume("a cat", 0, 0, whole.latents[0] + 0.1)
