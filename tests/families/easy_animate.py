"""EasyAnimate: guidance in one batched call."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLMagvit,
    EasyAnimatePipeline,
    EasyAnimateTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import awaken
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size

CHANNELS = 4


def _easy() -> Any:
    transformer = EasyAnimateTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        patch_size=2,
        num_layers=1,
        mmdit_layers=1,
        time_embed_dim=8,
        text_embed_dim=WIDTH,
    )
    vae = AutoencoderKLMagvit(
        latent_channels=CHANNELS,
        block_out_channels=[4, 4, 4, 4],
        layers_per_block=1,
        norm_num_groups=2,
    )
    return quiet(
        EasyAnimatePipeline(
            transformer=awaken(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=vae,
            text_encoder=None,
            tokenizer=None,
        )
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "num_frames": 5,
        "guidance_scale": 5.0,
        **size(steps),
    }


CASES = (Case("EasyAnimatePipeline", lambda: seeded(_easy), _call, "EasyAnimate").brief(),)
REFUSALS: tuple[Refusal, ...] = ()
