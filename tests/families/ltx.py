"""LTX-Video: guidance in one batched call."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXConditionPipeline,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.later import LTXEulerAncestralRFScheduler, LTXI2VLongMultiPromptPipeline
from tests.families.pictures import picture
from tests.families.text_to_image import SIDE, WIDTH, masks, prompts, quiet, size

CHANNELS = 8


SHIFT: dict[str, Any] = {
    "use_dynamic_shifting": True,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "base_image_seq_len": 1024,
    "max_image_seq_len": 4096,
    "shift_terminal": 0.1,
}


def _pipeline(cls: type[Any], scheduler: Any = None, **shift: Any) -> Any:
    transformer = LTXVideoTransformer3DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=2,
        caption_channels=WIDTH,
    )
    return quiet(
        cls(
            transformer=transformer,
            scheduler=scheduler or FlowMatchEulerDiscreteScheduler(**shift),
            vae=_vae(),
            text_encoder=None,
            tokenizer=None,
        )
    )


def _vae() -> AutoencoderKLLTXVideo:
    return AutoencoderKLLTXVideo(
        latent_channels=CHANNELS,
        block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, True, False),
        decoder_spatio_temporal_scaling=(True, True, True, False),
        patch_size=1,
    )


def _long(scheduler: Any) -> Any:
    """It takes no embeddings."""
    pipe = _pipeline(LTXI2VLongMultiPromptPipeline, scheduler)
    texts = (*prompts("prompt_embeds").values(), *masks("prompt_attention_mask").values())
    pipe.encode_prompt = lambda **_: (*texts, None, None)
    return pipe


def _call_windows(steps: int) -> dict[str, Any]:
    return {
        "prompt": "a cat | a dog",
        "num_frames": 33,
        "temporal_tile_size": 24,
        "temporal_overlap": 8,
        **size(steps),
    }


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "guidance_scale": 3.0,
        "num_frames": 17,
        **size(steps),
    }


def _call_with_image(steps: int) -> dict[str, Any]:
    return {**_call(steps), "image": picture(SIDE)}


CASES = (
    Case(
        "LTXPipeline", lambda: seeded(lambda: _pipeline(LTXPipeline, **SHIFT)), _call, "LTX-Video"
    ),
    Case(
        "LTXImageToVideoPipeline",
        lambda: seeded(lambda: _pipeline(LTXImageToVideoPipeline, **SHIFT)),
        _call_with_image,
        "LTX-Video",
        note="the first frame is given, and the schedule moves the others",
    ),
)
REFUSALS = (
    Refusal(
        "LTXConditionPipeline",
        lambda: seeded(lambda: _pipeline(LTXConditionPipeline)),
        _call_with_image,
        "LTX-Video",
        error="UnsupportedSchedulerError",
        match="per-token timesteps",
        reason="every token has a noise level of its own, and a schedule has one for all",
    ),
    Refusal(
        "LTXI2VLongMultiPromptPipeline",
        lambda: seeded(lambda: _long(LTXEulerAncestralRFScheduler())),
        _call_windows,
        "LTX-Video",
        error="UnsupportedSchedulerError",
        match="LTXEulerAncestralRFScheduler draws fresh noise in each step",
        reason="each step adds fresh noise",
        steps=4,
    ),
    Refusal(
        "LTXI2VLongMultiPromptPipeline, Euler",
        lambda: seeded(lambda: _long(FlowMatchEulerDiscreteScheduler())),
        _call_windows,
        "LTX-Video",
        error="ReplayError",
        match="the latents have the shape",
        reason="windows are sampled one after another in one call, each without its last step",
        steps=4,
    ),
)
