"""Pipelines around Wan's transformer: videos and pictures edited, figures animated."""

from __future__ import annotations

from functools import partial
from typing import Any

from diffusers import (
    ChronoEditPipeline,
    ChronoEditTransformer3DModel,
    LucyEditPipeline,
    WanAnimatePipeline,
    WanAnimateTransformer3DModel,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import picture
from tests.families.text_to_image import SIDE, prompts, quiet, size
from tests.families.wan import (
    CHANNELS,
    SEEING,
    SEEN,
    SIZES,
    UNIPC,
    tiny_eyes,
    tiny_wan_transformer,
    tiny_wan_vae,
    wan_unipc,
)


def _pipeline(cls: type[Any], denoiser: Any, **more: Any) -> Any:
    parts = {"vae": tiny_wan_vae(), "text_encoder": None, "tokenizer": None}
    return quiet(cls(transformer=denoiser, scheduler=wan_unipc(), **parts, **more))


def _lucy() -> LucyEditPipeline:
    return _pipeline(LucyEditPipeline, tiny_wan_transformer(2 * CHANNELS), transformer_2=None)


def _chrono() -> ChronoEditPipeline:
    denoiser = ChronoEditTransformer3DModel(in_channels=SEEING, **SIZES, **SEEN)
    return _pipeline(ChronoEditPipeline, denoiser, **tiny_eyes())


def _animate() -> WanAnimatePipeline:
    denoiser = WanAnimateTransformer3DModel(
        in_channels=SEEING,
        latent_channels=CHANNELS,
        motion_encoder_size=16,
        motion_style_dim=8,
        motion_dim=4,
        motion_encoder_dim=8,
        motion_encoder_channel_sizes={str(2**i): 4 for i in range(2, 5)},
        face_encoder_hidden_dim=16,
        face_encoder_num_heads=2,
        inject_face_latents_blocks=2,
        **SIZES,
        **SEEN,
    )
    return _pipeline(WanAnimatePipeline, denoiser, **tiny_eyes())


def _call(steps: int, **more: Any) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        "guidance_scale": 4.0,
        **size(steps),
        **more,
    }


def _call_seen(steps: int, **more: Any) -> dict[str, Any]:
    return _call(steps, image=picture(SIDE), **more)


def _call_animate(steps: int, frames: int = 5) -> dict[str, Any]:
    videos = {"pose_video": [picture(SIDE)] * frames, "face_video": [picture(16)] * frames}
    return _call_seen(steps, segment_frame_length=5, **videos)


_LUCY = Case(
    "LucyEditPipeline",
    partial(seeded, _lucy),
    partial(_call, video=[picture(SIDE)] * 5, num_frames=5),
    "Lucy Edit",
    branches=2,
    sampler=UNIPC,
).brief()

CASES = (
    _LUCY,
    _LUCY.variant(
        name="ChronoEditPipeline",
        build=partial(seeded, _chrono),
        call=_call_seen,
        family="ChronoEdit",
    ),
    _LUCY.variant(
        name="WanAnimatePipeline, one segment",
        build=partial(seeded, _animate),
        call=_call_animate,
        family="Wan 2.2 Animate",
    ),
)
REFUSALS = (
    Refusal(
        "ChronoEditPipeline, temporal reasoning",
        partial(seeded, _chrono),
        partial(
            _call_seen, enable_temporal_reasoning=True, num_temporal_reasoning_steps=2, num_frames=9
        ),
        "ChronoEdit",
        error="ReplayError",
        match=r"at step 2 .* shape \[1, 4, 2, 4, 4\], and had \[1, 4, 3, 4, 4\]",
        reason="it drops all frames but two in mid-run",
        steps=4,
        replaces=UNIPC,
    ),
    Refusal(
        "WanAnimatePipeline, several segments",
        partial(seeded, _animate),
        partial(_call_animate, frames=9),
        "Wan 2.2 Animate",
        error="ReplayError",
        match="all 4 steps of the schedule are taken.*several sections",
        reason="it samples the video's segments one after another, in one call",
        steps=4,
        replaces=UNIPC,
    ),
)
