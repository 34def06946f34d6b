"""HunyuanVideo, its guidance embedded in the model, and 1.5, its guidance in two calls a step."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    FlowMatchEulerDiscreteScheduler,
    HunyuanSkyreelsImageToVideoPipeline,
    HunyuanVideo15ImageToVideoPipeline,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoFramepackPipeline,
    HunyuanVideoFramepackTransformer3DModel,
    HunyuanVideoImageToVideoPipeline,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)
from diffusers.guiders import ClassifierFreeGuidance
from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import noise, picture
from tests.families.text_to_image import masks, prompts, quiet

SIDE = 16
"""Height and width of its videos, in pixels."""

TEXT, GLYPH, SEEN = 16, 8, 12
"""Widths of the embeddings: of text, of a whole prompt or of its glyphs, of a picture."""


_SIZES: dict[str, Any] = {
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 1,
    "num_single_layers": 1,
    "num_refiner_layers": 1,
    "patch_size": 1,
    "text_embed_dim": TEXT,
    "pooled_projection_dim": GLYPH,
    "rope_axes_dim": (2, 2, 4),
}


def _pipeline(cls: type[Any], transformer: Any, **components: Any) -> Any:
    return quiet(
        cls(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=None,
            tokenizer_2=None,
            **components,
        )
    )


def _text_to_video() -> Any:
    return _pipeline(HunyuanVideoPipeline, _transformer(), vae=None)


def _image_to_video(condition: str) -> Any:
    channels = 9 if condition == "latent_concat" else 4
    transformer = _transformer(channels, guidance_embeds=False, image_condition_type=condition)
    return _pipeline(
        HunyuanVideoImageToVideoPipeline, transformer, vae=_vae(), image_processor=None
    )


def _skyreels() -> Any:
    transformer = _transformer(8, guidance_embeds=False)
    return _pipeline(HunyuanSkyreelsImageToVideoPipeline, transformer, vae=_vae())


def _framepack() -> Any:
    transformer = HunyuanVideoFramepackTransformer3DModel(
        in_channels=4,
        has_image_proj=True,
        image_proj_dim=SEEN,
        has_clean_x_embedder=True,
        **{**_SIZES, "patch_size": 2},
    )
    return _pipeline(HunyuanVideoFramepackPipeline, transformer, vae=_vae(), **_eyes())


def _eyes() -> dict[str, Any]:
    vision = SiglipVisionConfig(
        hidden_size=SEEN,
        intermediate_size=SEEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
    )
    return {
        "image_encoder": SiglipVisionModel(vision),
        "feature_extractor": SiglipImageProcessor(size={"height": SIDE, "width": SIDE}),
    }


def _transformer(channels: int = 4, **options: Any) -> HunyuanVideoTransformer3DModel:
    return HunyuanVideoTransformer3DModel(in_channels=channels, **_SIZES, **options)


def _vae() -> AutoencoderKLHunyuanVideo:
    return AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(4,) * 4, layers_per_block=1, norm_num_groups=2
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", width=TEXT),
        **masks("prompt_attention_mask"),
        "pooled_prompt_embeds": noise(1, GLYPH),
        "guidance_scale": 6.0,
        "height": SIDE,
        "width": SIDE,
        "num_frames": 9,
        "num_inference_steps": steps,
        "output_type": "latent",
    }


def _call_with_image(steps: int) -> dict[str, Any]:
    return {**_call(steps), "image": picture(SIDE), "guidance_scale": 1.0}


def _call_twice_with_image(steps: int) -> dict[str, Any]:
    return {
        **_call_with_image(steps),
        **prompts("prompt_embeds", "negative_prompt_embeds", width=TEXT),
        **masks("negative_prompt_attention_mask"),
        "negative_pooled_prompt_embeds": noise(1, GLYPH, seed=8),
        "true_cfg_scale": 6.0,
    }


def _call_sections(steps: int) -> dict[str, Any]:
    large = {"height": 4 * SIDE, "width": 4 * SIDE}
    return {**_call_with_image(steps), **large, "num_frames": 17, "latent_window_size": 3}


def _text_to_video_15() -> Any:
    return quiet(HunyuanVideo15Pipeline(**_components_15("t2v")))


def _image_to_video_15() -> Any:
    return quiet(HunyuanVideo15ImageToVideoPipeline(**_eyes(), **_components_15("i2v")))


def _components_15(task: str) -> dict[str, Any]:
    transformer = HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_refiner_layers=1,
        text_embed_dim=TEXT,
        text_embed_2_dim=GLYPH,
        image_embed_dim=SEEN,
        rope_axes_dim=(2, 2, 4),
        target_size=SIDE,
        task_type=task,
    )
    return {
        "transformer": transformer,
        "vae": _vae_15(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=5.0),
        "guider": ClassifierFreeGuidance(guidance_scale=6.0),
        "text_encoder": None,
        "tokenizer": None,
        "text_encoder_2": None,
        "tokenizer_2": None,
    }


def _vae_15() -> AutoencoderKLHunyuanVideo15:
    return AutoencoderKLHunyuanVideo15(
        latent_channels=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        spatial_compression_ratio=4,
        temporal_compression_ratio=2,
        downsample_match_channel=False,
        upsample_match_channel=False,
    )


def _call_15(steps: int) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds")
    return {
        **prompts(*names, width=TEXT),
        **prompts(*(f"{name}_2" for name in names), width=GLYPH),
        **masks(*(f"{name}_mask" for name in names), *(f"{name}_mask_2" for name in names)),
        "num_frames": 5,
        "num_inference_steps": steps,
        "output_type": "latent",
    }


def _call_15_with_size(steps: int) -> dict[str, Any]:
    return {**_call_15(steps), "height": SIDE, "width": SIDE}


def _call_15_with_image(steps: int) -> dict[str, Any]:
    return {**_call_15(steps), "image": picture(SIDE)}


_CONCATENATED = Case(
    "HunyuanVideoImageToVideoPipeline",
    lambda: seeded(lambda: _image_to_video("latent_concat")),
    _call_with_image,
    "HunyuanVideo",
)

CASES = (
    Case("HunyuanVideoPipeline", lambda: seeded(_text_to_video), _call, "HunyuanVideo"),
    _CONCATENATED,
    _CONCATENATED.variant(
        name="HunyuanVideoImageToVideoPipeline, token replace",
        build=lambda: seeded(lambda: _image_to_video("token_replace")),
        note="the first frame is given, and the schedule moves the others",
    ),
    Case(
        "HunyuanSkyreelsImageToVideoPipeline",
        lambda: seeded(_skyreels),
        _call_twice_with_image,
        "SkyReels V1",
        branches=2,
    ),
    Case(
        "HunyuanVideo15Pipeline",
        lambda: seeded(_text_to_video_15),
        _call_15_with_size,
        "HunyuanVideo 1.5",
        branches=2,
    ),
    Case(
        "HunyuanVideo15ImageToVideoPipeline",
        lambda: seeded(_image_to_video_15),
        _call_15_with_image,
        "HunyuanVideo 1.5",
        branches=2,
    ),
)
REFUSALS = (
    Refusal(
        "HunyuanVideoFramepackPipeline, several sections",
        lambda: seeded(_framepack),
        _call_sections,
        "FramePack",
        error="ReplayError",
        match="all 8 steps of the schedule are taken.*several sections",
        reason="it samples the video's sections one after another, in one call",
    ),
)
