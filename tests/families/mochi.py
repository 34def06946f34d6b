"""Mochi: σ by a linear-quadratic rule, guidance in one batched call."""

from __future__ import annotations

from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel

from tests.families.case import Case, Refusal, seeded
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size


def _pipeline() -> MochiPipeline:
    transformer = MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=4,
        text_embed_dim=WIDTH,
        time_embed_dim=4,
        max_sequence_length=16,
    )
    return quiet(
        MochiPipeline(
            transformer=transformer,
            # as the model's own: its σ rise, and its denoiser gives minus the velocity
            scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
            vae=None,
            text_encoder=None,
            tokenizer=None,
        )
    )


def _call(steps: int) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds")
    return {
        **prompts(*names),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "guidance_scale": 4.5,
        "num_frames": 13,
        **size(steps),
    }


CASES = (Case("MochiPipeline", lambda: seeded(_pipeline), _call, "Mochi 1"),)
REFUSALS: tuple[Refusal, ...] = ()
