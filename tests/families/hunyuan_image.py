"""HunyuanImage 2.1: guided by two calls, guided with momentum, or distilled; and its refiner."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AdaptiveProjectedMixGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanImagePipeline,
    HunyuanImageRefinerPipeline,
    HunyuanImageTransformer2DModel,
)

from tests.families.case import Case, seeded
from tests.families.pictures import noise
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size

CHANNELS = 4
"""Of the latents."""

SIDE = 64
"""Height and width of the pictures, in pixels: 2 × 2 image tokens, or the refiner's 4 × 4."""

_MEMORY = "the guidance's momentum takes the last refresh's outputs again at cached steps"


def _transformer(**settings: Any) -> HunyuanImageTransformer2DModel:
    return HunyuanImageTransformer2DModel(
        **{
            "in_channels": CHANNELS,
            "out_channels": CHANNELS,
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "num_layers": 1,
            "num_single_layers": 2,
            "num_refiner_layers": 1,
            "text_embed_dim": WIDTH,
            "rope_axes_dim": (4, 4),
            **settings,
        }
    )


def _built(guider: AdaptiveProjectedMixGuidance | None = None, **settings: Any) -> Any:
    pipe = seeded(
        lambda: HunyuanImagePipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
            vae=None,
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=None,
            tokenizer_2=None,
            transformer=_transformer(text_embed_2_dim=WIDTH, **settings),
            guider=guider,
            ocr_guider=guider,
        )
    )
    return quiet(pipe)


def _refiner() -> Any:
    pipe = seeded(
        lambda: HunyuanImageRefinerPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=4.0),
            vae=None,
            text_encoder=None,
            tokenizer=None,
            transformer=_transformer(
                in_channels=2 * CHANNELS,
                patch_size=(1, 1, 1),
                rope_axes_dim=(2, 2, 4),
                guidance_embeds=True,
            ),
        )
    )
    return quiet(pipe)


def _call(steps: int, *suffixes: str, **more: Any) -> dict[str, Any]:
    """A call with embeddings of prompts from one text encoder or, with ``"_2"``, from both."""
    ends, signs = ("", *suffixes), ("", "negative_")
    return {
        **prompts(*(f"{sign}prompt_embeds{end}" for end in ends for sign in signs)),
        **masks(*(f"{sign}prompt_embeds_mask{end}" for end in ends for sign in signs)),
        **size(steps),
        "height": SIDE,
        "width": SIDE,
        **more,
    }


_HUNYUAN = Case(
    "HunyuanImagePipeline",
    lambda: _built(AdaptiveProjectedMixGuidance(adaptive_projected_guidance_momentum=None)),
    lambda steps: _call(steps, "_2"),
    "HunyuanImage 2.1",
    branches=2,
)

CASES = (
    _HUNYUAN,
    _HUNYUAN.variant(
        name="HunyuanImagePipeline, guidance with momentum",
        build=lambda: _built(AdaptiveProjectedMixGuidance()),
        remembers=True,
        note=_MEMORY,
    ),
    _HUNYUAN.variant(
        name="HunyuanImagePipeline, distilled",
        build=lambda: _built(use_meanflow=True, guidance_embeds=True),
        branches=1,
    ),
    _HUNYUAN.variant(
        name="HunyuanImageRefinerPipeline",
        build=_refiner,
        call=lambda steps: _call(steps, image=noise(1, CHANNELS, 1, 4, 4)),
        branches=1,
        steps=4,
        budgets=(2, 3),
    ),
)
REFUSALS = ()
