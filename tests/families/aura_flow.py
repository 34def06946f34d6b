"""AuraFlow: guidance in one batched call."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)

from tests.families.case import Case, seeded
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size


def _pipeline() -> Any:
    def build() -> Any:
        transformer = AuraFlowTransformer2DModel(
            sample_size=4,
            in_channels=4,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            caption_projection_dim=16,
            pos_embed_max_size=16,
        )
        pipe = AuraFlowPipeline(
            tokenizer=None,
            text_encoder=None,
            vae=None,
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
        )
        return quiet(pipe)

    return seeded(build)


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "guidance_scale": 3.5,
        **size(steps),
    }


CASES = (Case("AuraFlowPipeline", _pipeline, _call, "AuraFlow"),)
REFUSALS = ()
