"""Sana's world model: a video from a picture and the way of a camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler

from tests.families.case import Case, Refusal, seeded
from tests.families.later import SanaWMPipeline, SanaWMTransformer3DModel
from tests.families.ltx2 import tiny_ltx2_vae
from tests.families.pictures import noise, picture
from tests.families.text_to_image import SIDE, TOKENS, WIDTH, masks, quiet, size

FRAMES = 9


def _sana_wm() -> Any:
    transformer = SanaWMTransformer3DModel(
        in_channels=4,
        num_layers=1,
        hidden_size=32,
        num_attention_heads=2,
        linear_head_dim=16,
        chunk_plucker_channels=12,
        chunk_plucker_post_attn_blocks=1,
        image_size=SIDE,
        caption_channels=WIDTH,
    )
    return quiet(
        SanaWMPipeline(
            tokenizer=None,
            text_encoder=None,
            vae=tiny_ltx2_vae(),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
        )
    )


def _call(steps: int) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds")
    return {
        "prompt": "a hall",
        **{name: noise(1, 1, TOKENS, WIDTH, seed=seed) for seed, name in enumerate(names)},
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "image": picture(SIDE),
        "c2w": np.tile(np.eye(4), (FRAMES, 1, 1)),
        "intrinsics": [SIDE, SIDE, SIDE / 2, SIDE / 2],
        "num_frames": FRAMES,
        **size(steps),
    }


CASES: tuple[Case, ...] = ()
REFUSALS = (
    Refusal(
        "SanaWMPipeline",
        lambda: seeded(_sana_wm),
        _call,
        "Sana WM",
        error="UnsupportedSchedulerError",
        match="per-token timesteps",
        reason="every token has a noise level of its own, and a schedule has one for all",
        steps=4,
    ),
)
