"""LTX-2's relatives: video alone for HDR, and rendering in several passes (DFR)."""

from __future__ import annotations

from typing import Any

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler

from tests.families import later
from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    LTX2DFRPipeline,
    LTX2DFRTemporalRefinePipeline,
    LTX2HDRPipeline,
    LTXEulerAncestralRFScheduler,
)
from tests.families.ltx2 import FAMILY, tiny_ltx2, tiny_transformer
from tests.families.pictures import picture
from tests.families.text_to_image import SIDE, masks, prompts, size

LTX2HDRReferenceCondition = later.of(
    "diffusers.pipelines.ltx2.pipeline_ltx2_hdr_lora", "LTX2HDRReferenceCondition"
)


def _dfr(cls: type[Any], scheduler: Any, **more: Any) -> Any:
    transformer = tiny_transformer(use_keyframes_abs_pos_embedding=True)
    return tiny_ltx2(cls, transformer, scheduler, **more)


def _euler() -> Any:
    return _dfr(LTX2DFRPipeline, FlowMatchEulerDiscreteScheduler())


def _ancestral() -> Any:
    return _dfr(LTX2DFRPipeline, LTXEulerAncestralRFScheduler())


def _refine() -> Any:
    parts = {"temporal_latent_upsampler": None}
    return _dfr(LTX2DFRTemporalRefinePipeline, LTXEulerAncestralRFScheduler(), **parts)


def _call_hdr(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "reference_conditions": [LTX2HDRReferenceCondition([picture(SIDE)] * 5)],
        "guidance_scale": 3.0,
        "num_frames": 5,
        **size(steps),
    }


def _call_dfr(steps: int) -> dict[str, Any]:
    """Its number of steps is that of the noise levels."""
    sizes = size(steps)
    del sizes["num_inference_steps"]
    return {
        **prompts("prompt_embeds"),
        **masks("prompt_attention_mask"),
        "sigmas": np.linspace(1.0, 1 / steps, steps).tolist(),
        "num_frames": 5,
        **sizes,
    }


def _noisy(name: str, build: Any) -> Refusal:
    return Refusal(
        name,
        lambda: seeded(build),
        _call_dfr,
        FAMILY,
        error="UnsupportedSchedulerError",
        match="LTXEulerAncestralRFScheduler draws fresh noise in each step",
        reason="each step adds fresh noise",
        steps=4,
    )


CASES = (
    Case(
        "LTX2HDRPipeline",
        lambda: seeded(lambda: tiny_ltx2(LTX2HDRPipeline)),
        _call_hdr,
        FAMILY,
        note="the sound does not move: its velocity is 0",
    ).brief(),
    Case(
        "LTX2DFRPipeline",
        lambda: seeded(_euler),
        _call_dfr,
        FAMILY,
        note="a pass is a run; its steps are those of `sigmas=`",
    ).brief(),
)
REFUSALS = (
    _noisy("LTX2DFRPipeline, ancestral", _ancestral),
    _noisy("LTX2DFRTemporalRefinePipeline", _refine),
)
