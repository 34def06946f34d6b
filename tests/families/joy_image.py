"""JoyImage: the picture to edit stands beside the latents, and is put back at every step."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    JoyImageEditPipeline,
    JoyImageEditPlusPipeline,
    JoyImageEditPlusTransformer3DModel,
    JoyImageEditTransformer3DModel,
)
from tests.families.pictures import awaken, noise, picture
from tests.families.text_to_image import SIDE, TOKENS, WIDTH, masks, prompts, quiet, size
from tests.families.wan import CHANNELS, tiny_wan_vae


def _joy(cls: type[Any], model: type[Any]) -> Any:
    transformer = model(
        in_channels=CHANNELS,
        hidden_size=16,
        num_attention_heads=2,
        text_dim=WIDTH,
        num_layers=1,
        rope_dim_list=[4, 2, 2],
    )
    pipe = cls(
        transformer=awaken(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny_wan_vae(),
        text_encoder=None,
        tokenizer=None,
        processor=None,
    )
    # It rounds to sizes that the model was trained for.
    processor = getattr(pipe, "vae_image_processor", None) or pipe.image_processor
    processor.get_default_height_width = lambda *_: (SIDE, SIDE)
    return quiet(pipe)


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_embeds_mask", "negative_prompt_embeds_mask"),
        "image": picture(SIDE),
        "guidance_scale": 4.0,
        **size(steps),
    }


def _told(prompt: list[str], **_: Any) -> tuple[Tensor, Tensor]:
    """Noise for features of the text: it does not take embeddings beside pictures."""
    return noise(1, TOKENS, WIDTH, seed=len(prompt[0])), torch.ones(1, TOKENS, dtype=torch.int64)


def _joy_plus() -> Any:
    pipe = _joy(JoyImageEditPlusPipeline, JoyImageEditPlusTransformer3DModel)
    pipe.encode_prompt_multiple_images = _told
    return pipe


def _call_pictures(steps: int) -> dict[str, Any]:
    pictures = [picture(SIDE), picture(SIDE)]
    return {"prompt": "a hat", "images": pictures, "guidance_scale": 4.0, **size(steps)}


CASES = (
    Case(
        "JoyImageEditPipeline",
        lambda: seeded(lambda: _joy(JoyImageEditPipeline, JoyImageEditTransformer3DModel)),
        _call,
        "JoyImage-Edit",
        branches=2,
    ).brief(),
    Case(
        "JoyImageEditPlusPipeline",
        lambda: seeded(_joy_plus),
        _call_pictures,
        "JoyImage-Edit",
        note="several pictures beside the latents",
    ).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
