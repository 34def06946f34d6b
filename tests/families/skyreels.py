"""SkyReels V2: UniPC; its diffusion forcing gives every frame a scheduler of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diffusers import (
    SkyReelsV2DiffusionForcingImageToVideoPipeline,
    SkyReelsV2DiffusionForcingPipeline,
    SkyReelsV2DiffusionForcingVideoToVideoPipeline,
    SkyReelsV2ImageToVideoPipeline,
    SkyReelsV2Pipeline,
    SkyReelsV2Transformer3DModel,
    UniPCMultistepScheduler,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import picture
from tests.families.text_to_image import SIDE, WIDTH, prompts, quiet, size
from tests.families.wan import CHANNELS, SEEING, SEEN, tiny_eyes, tiny_wan_vae

FAMILY = "SkyReels V2"
UNIPC = "UniPCMultistepScheduler"


def _pipeline(
    cls: type[Any], channels: int = CHANNELS, more: dict[str, Any] | None = None, **options: Any
) -> Any:
    transformer = SkyReelsV2Transformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=channels,
        out_channels=CHANNELS,
        text_dim=WIDTH,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
        **options,
    )
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0
    )
    return quiet(
        cls(
            transformer=transformer,
            scheduler=scheduler,
            text_encoder=None,
            tokenizer=None,
            **(more or {"vae": None}),
        )
    )


def _text_to_video() -> SkyReelsV2Pipeline:
    return _pipeline(SkyReelsV2Pipeline)


def _image_to_video() -> SkyReelsV2ImageToVideoPipeline:
    more = {"vae": tiny_wan_vae(), **tiny_eyes()}
    return _pipeline(SkyReelsV2ImageToVideoPipeline, SEEING, more, **SEEN)


def _diffusion_forcing(cls: type[Any], **more: Any) -> Any:
    return seeded(lambda: _pipeline(cls, more=more, inject_sample_info=True))


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        "guidance_scale": 6.0,
        "num_frames": 9,
        **size(steps),
    }


CASES = (
    Case(
        "SkyReelsV2Pipeline",
        lambda: seeded(_text_to_video),
        _call,
        FAMILY,
        branches=2,
        sampler=UNIPC,
    ),
    Case(
        "SkyReelsV2ImageToVideoPipeline",
        lambda: seeded(_image_to_video),
        lambda steps: {**_call(steps), "image": picture(SIDE), "num_frames": 5},
        FAMILY,
        branches=2,
        sampler=UNIPC,
    ).brief(),
)
_FORCING = Refusal(
    "SkyReelsV2DiffusionForcingPipeline",
    lambda: _diffusion_forcing(SkyReelsV2DiffusionForcingPipeline),
    lambda steps: {**_call(steps), "prompt": None},
    FAMILY,
    error="StepCountError",
    match="a copy of the scheduler takes step 1 while the scheduler is at step 0",
    reason="every frame has noise levels of its own, and a schedule has one for all",
    replaces=UNIPC,
)
REFUSALS = (
    _FORCING,
    replace(
        _FORCING,
        name="SkyReelsV2DiffusionForcingImageToVideoPipeline",
        build=lambda: _diffusion_forcing(
            SkyReelsV2DiffusionForcingImageToVideoPipeline, vae=seeded(tiny_wan_vae)
        ),
        call=lambda steps: {**_FORCING.call(steps), "image": picture(SIDE)},
    ),
    replace(
        _FORCING,
        name="SkyReelsV2DiffusionForcingVideoToVideoPipeline",
        build=lambda: _diffusion_forcing(
            SkyReelsV2DiffusionForcingVideoToVideoPipeline, vae=seeded(tiny_wan_vae)
        ),
        call=lambda steps: {
            **_FORCING.call(steps),
            "video": [picture(SIDE)] * 5,
            "overlap_history": 5,
        },
    ),
)
