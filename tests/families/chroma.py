"""Chroma: FLUX.1 without guidance by embedding, guided by two calls a step."""

from __future__ import annotations

from typing import Any

from diffusers import (
    ChromaImg2ImgPipeline,
    ChromaPipeline,
    ChromaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)

from tests.families.case import Case, seeded
from tests.families.pictures import partway, picture
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size, tiny_vae


def _transformer() -> ChromaTransformer2DModel:
    return ChromaTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(2, 2, 4),
        approximator_num_channels=16,
        approximator_hidden_dim=WIDTH,
        approximator_layers=1,
    )


def _built(cls: type[Any]) -> Any:
    pipe = seeded(
        lambda: cls(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=tiny_vae(),
            text_encoder=None,
            tokenizer=None,
            transformer=_transformer(),
        )
    )
    return quiet(pipe)


def _call(steps: int, **more: Any) -> dict[str, Any]:
    visible = masks("prompt_attention_mask", "negative_prompt_attention_mask")
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **{name: mask.bool() for name, mask in visible.items()},
        **size(steps),
        "guidance_scale": 5.0,
        **more,
    }


_CHROMA = Case("ChromaPipeline", lambda: _built(ChromaPipeline), _call, "Chroma", branches=2)

_FROM_PICTURE = _CHROMA.variant(
    name="ChromaImg2ImgPipeline",
    build=lambda: _built(ChromaImg2ImgPipeline),
    call=lambda steps: _call(steps, image=picture(), strength=1.0),
)

CASES = (_CHROMA, _FROM_PICTURE, partway(_FROM_PICTURE))
REFUSALS = ()
