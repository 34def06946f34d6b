"""Lumina 2, whose velocity the pipeline negates, and Lumina-Next before it."""

from __future__ import annotations

from typing import Any

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    LuminaNextDiT2DModel,
    LuminaPipeline,
)

from tests.families.case import Case, seeded
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size

FAMILY = "Lumina"


def _pipeline(cls: type, transformer: Any, **scheduler: Any) -> Any:
    return quiet(
        cls(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(**scheduler),
            vae=None,
            text_encoder=None,
            tokenizer=None,
        )
    )


def _lumina2() -> Any:
    def build() -> Any:
        transformer = Lumina2Transformer2DModel(
            sample_size=4,
            in_channels=4,
            hidden_size=24,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=3,
            num_kv_heads=1,
            multiple_of=2,
            axes_dim_rope=(4, 2, 2),
            axes_lens=(128, 128, 128),
            cap_feat_dim=WIDTH,
        )
        return _pipeline(Lumina2Pipeline, transformer, shift=6.0)

    return seeded(build)


def _lumina_next() -> Any:
    def build() -> Any:
        transformer = LuminaNextDiT2DModel(
            sample_size=4,
            in_channels=4,
            hidden_size=16,
            num_layers=2,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=16,
            cross_attention_dim=WIDTH,
        )
        return _pipeline(LuminaPipeline, transformer)

    return seeded(build)


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "guidance_scale": 4.0,
        **size(steps),
    }


CASES = (
    Case("Lumina2Pipeline", _lumina2, _call, FAMILY, branches=2),
    Case("LuminaPipeline", _lumina_next, _call, FAMILY),
)
REFUSALS = ()
