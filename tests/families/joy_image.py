"""JoyImage: the picture to edit stands beside the latents, and is put back at every step."""

from __future__ import annotations

from typing import Any

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    JoyImageEditPipeline,
    JoyImageEditTransformer3DModel,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import awaken, picture
from tests.families.text_to_image import SIDE, WIDTH, masks, prompts, quiet, size
from tests.families.wan import CHANNELS, tiny_wan_vae


def _joy() -> Any:
    transformer = JoyImageEditTransformer3DModel(
        in_channels=CHANNELS,
        hidden_size=16,
        num_attention_heads=2,
        text_dim=WIDTH,
        num_layers=1,
        rope_dim_list=[4, 2, 2],
    )
    pipe = JoyImageEditPipeline(
        transformer=awaken(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny_wan_vae(),
        text_encoder=None,
        tokenizer=None,
        processor=None,
    )
    # It rounds to sizes that the model was trained for.
    pipe.vae_image_processor.get_default_height_width = lambda *_: (SIDE, SIDE)
    return quiet(pipe)


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_embeds_mask", "negative_prompt_embeds_mask"),
        "image": picture(SIDE),
        "guidance_scale": 4.0,
        **size(steps),
    }


CASES = (
    Case("JoyImageEditPipeline", lambda: seeded(_joy), _call, "JoyImage-Edit", branches=2).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
