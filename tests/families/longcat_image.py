"""LongCat-Image's editing: the tokens of the picture beside those of the latents."""

from __future__ import annotations

import sys
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler

from tests.families.case import Case, Refusal, seeded
from tests.families.later import LongCatImageEditPipeline, LongCatImageTransformer2DModel
from tests.families.other_images import FLUX_LIKE
from tests.families.pictures import awaken, noise, picture
from tests.families.text_to_image import SIDE, TOKENS, WIDTH, quiet, tiny_vae

CHANNELS = 16
"""Channels of its latents, which the pipeline does not ask."""


class Unasked:
    """Stands for the processor of pictures for the text encoder, which is not there."""

    image_processor = None


def _edit() -> Any:
    module = sys.modules[LongCatImageEditPipeline.__module__]
    module.calculate_dimensions = lambda _area, _ratio: (SIDE, SIDE)  # it works at a megapixel
    sizes = {**FLUX_LIKE, "pooled_projection_dim": WIDTH, "in_channels": 4 * CHANNELS}
    pipe = LongCatImageEditPipeline(
        transformer=awaken(LongCatImageTransformer2DModel(**sizes)),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=tiny_vae(CHANNELS),
        text_encoder=None,
        tokenizer=None,
        text_processor=Unasked(),
    )
    pipe._encode_prompt = lambda prompt, image: noise(1, TOKENS, WIDTH, seed=len(prompt[0]))
    return quiet(pipe)


def _call(steps: int) -> dict[str, Any]:
    return {
        "image": picture(SIDE),
        "prompt": "a hat",
        "negative_prompt": "",
        "num_inference_steps": steps,
        "output_type": "latent",
    }


CASES = (
    Case(
        "LongCatImageEditPipeline", lambda: seeded(_edit), _call, "LongCat-Image", branches=2
    ).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
