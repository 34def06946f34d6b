"""Modular pipelines of other families: their latents are those of the ordinary ones with a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from diffusers import LTXPipeline, modular_pipelines
from diffusers.guiders import ClassifierFreeGuidance
from torch import Tensor

from meancache_runtime import MeanCacheScheduler, attach
from tests.counting import count_calls
from tests.families import ltx, stable_diffusion_3, z_image
from tests.families.case import Case, run
from tests.hosts.modular import modular
from tests.runtime import by_hand

STEPS, KNOTS = 8, (0, 2, 5)
SCHEDULE = by_hand.schedule(STEPS, KNOTS)


class Family(NamedTuple):
    """A case, its modular blocks, and what is other there.

    Attributes:
        case: The ordinary pipeline.
        blocks: The name of the modular one's class.
        more: What its scale of guidance is above the ordinary one's.
        form: Its latents, as the ordinary one has them.
    """

    case: Case
    blocks: str
    more: float = 0.0
    form: Callable[[Tensor], Tensor] = lambda latents: latents


FAMILIES = {
    "Stable Diffusion 3": Family(stable_diffusion_3.CASES[0], "StableDiffusion3AutoBlocks"),
    "Z-Image": Family(z_image.CASES[0], "ZImageAutoBlocks", more=1.0),
    "LTX-Video": Family(ltx.CASES[0], "LTXAutoBlocks", form=LTXPipeline._pack_latents),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_latents_are_those_of_the_ordinary_pipeline_with_the_plan_attached(family: Family) -> None:
    pipe, call = family.case.build(), family.case.call(STEPS)
    with attach(pipe, SCHEDULE):
        (expected,) = run(pipe, call)
    made = modular(getattr(modular_pipelines, family.blocks)(), pipe, "text_encoder")
    scale = call.pop("guidance_scale") + family.more
    made.update_components(guider=ClassifierFreeGuidance(guidance_scale=scale))
    made.scheduler = MeanCacheScheduler.from_schedule(made.scheduler, SCHEDULE, budget=len(KNOTS))
    calls = count_calls(pipe.transformer)
    found = family.form(sampled(made, call))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert len(calls) == 2 * len(KNOTS)


def sampled(made: Any, call: dict[str, Any]) -> Tensor:
    """The latents of one run of a modular pipeline."""
    del call["output_type"]
    with torch.no_grad():
        return made(output="latents", generator=torch.Generator().manual_seed(0), **call)
