"""Stable Diffusion 3 and 3.5: guidance in one batched call."""

from __future__ import annotations

from typing import Any

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    SD3ControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3ControlNetInpaintingPipeline,
    StableDiffusion3ControlNetPipeline,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3PAGImg2ImgPipeline,
    StableDiffusion3PAGPipeline,
    StableDiffusion3Pipeline,
)

from tests.families.case import Case, seeded
from tests.families.pictures import awaken, mask, noise, picture
from tests.families.text_to_image import WIDTH, prompts, quiet, size, tiny_vae

FAMILY = "Stable Diffusion 3"
CHANNELS = 16

_SIZES: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": WIDTH,
    "caption_projection_dim": 16,
    "pooled_projection_dim": WIDTH,
    "pos_embed_max_size": 8,
}
_NO_TEXT: dict[str, None] = dict.fromkeys(
    ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3")
)


def _pipeline(cls: type, sampler: type = FlowMatchEulerDiscreteScheduler, **models: Any) -> Any:
    transformer = SD3Transformer2DModel(
        num_layers=2, qk_norm="rms_norm", dual_attention_layers=(0,), **_SIZES
    )
    return quiet(cls(transformer=transformer, scheduler=sampler(shift=3.0), **_NO_TEXT, **models))


def _text_to_image() -> Any:
    return seeded(lambda: _pipeline(StableDiffusion3Pipeline, vae=None))


def _heun() -> Any:
    sampler = FlowMatchHeunDiscreteScheduler
    return seeded(lambda: _pipeline(StableDiffusion3Pipeline, sampler, vae=None))


def _perturbed() -> Any:
    blocks = ["transformer_blocks.1"]
    return seeded(
        lambda: _pipeline(StableDiffusion3PAGPipeline, vae=None, pag_applied_layers=blocks)
    )


def _perturbed_from_image() -> Any:
    parts = {"vae": tiny_vae(CHANNELS), "pag_applied_layers": ["transformer_blocks.1"]}
    return seeded(lambda: _pipeline(StableDiffusion3PAGImg2ImgPipeline, **parts))


def _image_to_image() -> Any:
    return seeded(lambda: _pipeline(StableDiffusion3Img2ImgPipeline, vae=tiny_vae(CHANNELS)))


def _inpaint() -> Any:
    return seeded(lambda: _pipeline(StableDiffusion3InpaintPipeline, vae=tiny_vae(CHANNELS)))


def _with_controlnet(cls: type, **options: Any) -> Any:
    def build() -> Any:
        controlnet = awaken(SD3ControlNetModel(num_layers=1, **_SIZES, **options))
        return _pipeline(cls, vae=tiny_vae(CHANNELS), controlnet=controlnet)

    return seeded(build)


def _controlnet() -> Any:
    return _with_controlnet(StableDiffusion3ControlNetPipeline)


def _controlnet_inpaint() -> Any:
    cls = StableDiffusion3ControlNetInpaintingPipeline
    return _with_controlnet(cls, extra_conditioning_channels=1)


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        "pooled_prompt_embeds": noise(1, WIDTH, seed=1),
        "negative_pooled_prompt_embeds": noise(1, WIDTH, seed=2),
        "guidance_scale": 4.0,
        **size(steps),
    }


def _call_skipping_layers(steps: int) -> dict[str, Any]:
    everywhere = {"skip_layer_guidance_start": -1.0, "skip_layer_guidance_stop": 1.0}
    return {**_call(steps), "skip_guidance_layers": [1], **everywhere}


def _call_controlnet(steps: int) -> dict[str, Any]:
    return {**_call(steps), "control_image": picture(), "controlnet_conditioning_scale": 0.7}


def _call_controlnet_inpaint(steps: int) -> dict[str, Any]:
    return {**_call_controlnet(steps), "control_mask": mask()}


def _call_perturbed(steps: int) -> dict[str, Any]:
    return {**_call(steps), "pag_scale": 1.0}


def _call_perturbed_from_image(steps: int) -> dict[str, Any]:
    return {**_call_image(steps), "pag_scale": 1.0}


def _call_inpaint(steps: int) -> dict[str, Any]:
    return {**_call_image(steps), "mask_image": mask()}


def _call_image(steps: int) -> dict[str, Any]:
    return {**_call(steps), "image": picture(), "strength": 1.0}


def _call_image_in_part(steps: int) -> dict[str, Any]:
    """Takes the last 6 steps of 10, or what is in this proportion."""
    return {**_call_image(round(steps / 0.6)), "strength": 0.6}


CASES = (
    Case("StableDiffusion3Pipeline", _text_to_image, _call, FAMILY),
    Case(
        "StableDiffusion3Pipeline, skip-layer guidance",
        _text_to_image,
        _call_skipping_layers,
        FAMILY,
        branches=2,
    ),
    Case("StableDiffusion3ControlNetPipeline", _controlnet, _call_controlnet, FAMILY),
    Case(
        "StableDiffusion3ControlNetInpaintingPipeline",
        _controlnet_inpaint,
        _call_controlnet_inpaint,
        FAMILY,
    ),
    Case("StableDiffusion3PAGPipeline", _perturbed, _call_perturbed, FAMILY),
    Case(
        "StableDiffusion3PAGImg2ImgPipeline, strength 1",
        _perturbed_from_image,
        _call_perturbed_from_image,
        FAMILY,
    ).brief(),
    Case("StableDiffusion3InpaintPipeline, strength 1", _inpaint, _call_inpaint, FAMILY),
    Case(
        "StableDiffusion3Pipeline, Heun",
        _heun,
        _call,
        FAMILY,
        sampler="FlowMatchHeunDiscreteScheduler",
    ),
    Case("StableDiffusion3Img2ImgPipeline, strength 1", _image_to_image, _call_image, FAMILY),
    Case(
        "StableDiffusion3Img2ImgPipeline, strength 0.6",
        _image_to_image,
        _call_image_in_part,
        FAMILY,
        steps=6,
        note="calibrated at this strength, for the steps that it takes",
    ),
)
REFUSALS = ()
