"""A pipeline's call: the same seed gives the same sample, whatever the pipeline draws from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxPipeline

from meancache_plan.errors import InputError
from meancache_plan.source.diffusers import call_arguments
from tests.families.audio import CASES as SOUND
from tests.families.case import Case
from tests.judge.tiny_comparison import PROMPT, SEED, tiny_pipeline


def test_what_a_pipeline_draws_from_the_global_generator_depends_on_the_seed_alone(
    tiny_flux: FluxPipeline,
) -> None:
    def noisy(_module: Any, _inputs: Any, output: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (output[0] + torch.randn_like(output[0]),)

    pipeline = tiny_pipeline(tiny_flux)
    tiny_flux.transformer.register_forward_hook(noisy)
    state = torch.get_rng_state()
    first, again, other = (
        pipeline.run(PROMPT, seed, output_type="latent").images for seed in (SEED, SEED, SEED + 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.name)
def test_a_pipeline_that_makes_sound_has_no_pictures_to_show(case: Case) -> None:
    pipe = case.build()
    with torch.no_grad():
        result = pipe(**case.call(2) | {"output_type": "np"}, generator=torch.Generator())
    with pytest.raises(InputError, match=f"{type(pipe).__name__} makes no pictures.*by ear"):
        call_arguments.pictures_of(pipe, result)
