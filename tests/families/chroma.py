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
from tests.families.later import ChromaInpaintPipeline
from tests.families.pictures import mask, partway, picture
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


def _inpainting() -> Any:
    pipe = _built(ChromaInpaintPipeline)
    pipe.transformer.register_to_config(guidance_embeds=False)
    return pipe


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

_MASKED = _CHROMA.variant(
    name="ChromaInpaintPipeline",
    build=_inpainting,
    call=lambda steps: _call(steps, image=picture(), mask_image=mask(), strength=1.0),
    note="diffusers 0.42.1 asks its denoiser for a setting that it lacks, which is given here",
).brief()

CASES = (_CHROMA, _FROM_PICTURE, partway(_FROM_PICTURE), _MASKED)
REFUSALS = ()
