"""Motif-Video, whose guidance is a component: a guider, which calls the denoiser."""

from __future__ import annotations

from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.guiders import ClassifierFreeGuidance

from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    MotifVideoImage2VideoPipeline,
    MotifVideoPipeline,
    MotifVideoTransformer3DModel,
)
from tests.families.pictures import picture
from tests.families.text_to_image import SIDE, WIDTH, masks, prompts, quiet, size
from tests.families.wan import CHANNELS, tiny_wan_vae


def _motif(cls: type[Any], **parts: Any) -> Any:
    transformer = MotifVideoTransformer3DModel(
        in_channels=2 * CHANNELS + 1,
        out_channels=CHANNELS,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_single_layers=1,
        text_embed_dim=WIDTH,
        rope_axes_dim=(4, 2, 2),
    )
    return quiet(
        cls(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=tiny_wan_vae(),
            text_encoder=None,
            tokenizer=None,
            **parts,
            guider=ClassifierFreeGuidance(guidance_scale=5.0),
        )
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "num_frames": 5,
        **size(steps),
    }


CASES = (
    Case(
        "MotifVideoPipeline",
        lambda: seeded(lambda: _motif(MotifVideoPipeline)),
        _call,
        "Motif-Video",
        branches=2,
    ).brief(),
    Case(
        "MotifVideoImage2VideoPipeline",
        lambda: seeded(lambda: _motif(MotifVideoImage2VideoPipeline, feature_extractor=None)),
        lambda steps: {**_call(steps), "prompt": None, "image": picture(SIDE)},
        "Motif-Video",
        branches=2,
    ).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
