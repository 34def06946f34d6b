"""Diffusion models that follow no flow: their samplers divide a noise out of the sample."""

from __future__ import annotations

from functools import partial
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from tests.families.case import Refusal, seeded
from tests.families.pictures import noise
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size, tiny_vae

FAMILY = "Not flow matching"


def _unet(**options: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=4,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        block_out_channels=(8,),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=WIDTH,
        norm_num_groups=2,
        **options,
    )


def _xl() -> Any:
    sizes = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": WIDTH + 6 * 4,
    }
    pipe = StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=_unet(**sizes),
        scheduler=EulerDiscreteScheduler(),
    )
    return quiet(pipe)


def _stable_diffusion() -> Any:
    pipe = StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=None,
        tokenizer=None,
        unet=_unet(),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return quiet(pipe)


def _pixart() -> Any:
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        out_channels=8,
        num_layers=1,
        cross_attention_dim=8,
        sample_size=4,
        caption_channels=WIDTH,
        use_additional_conditions=False,
    )
    pipe = PixArtSigmaPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=tiny_vae(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(),
    )
    return quiet(pipe)


def _call(steps: int) -> dict[str, Any]:
    return {**prompts("prompt_embeds", "negative_prompt_embeds"), **size(steps)}


def _call_xl(steps: int) -> dict[str, Any]:
    pooled = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    return {**_call(steps), **{name: noise(1, WIDTH, seed=i) for i, name in enumerate(pooled)}}


def _call_pixart(steps: int) -> dict[str, Any]:
    seen = masks("prompt_attention_mask", "negative_prompt_attention_mask")
    return {**_call(steps), **seen, "negative_prompt": None, "use_resolution_binning": False}


def _refusal(name: str, build: Any, call: Any, match: str) -> Refusal:
    return Refusal(
        name,
        partial(seeded, build),
        call,
        FAMILY,
        error="UnsupportedSchedulerError",
        match=match,
        reason="it predicts noise, not the velocity of a flow",
    )


CASES = ()
REFUSALS = (
    _refusal("StableDiffusionXLPipeline", _xl, _call_xl, "^EulerDiscreteScheduler"),
    _refusal("StableDiffusionPipeline, DDIM", _stable_diffusion, _call, "DDIMScheduler"),
    _refusal("PixArtSigmaPipeline", _pixart, _call_pixart, "DPMSolverMultistepScheduler"),
)
