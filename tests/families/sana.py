"""Sana: by default DPM-Solver++ along a flow; Sana-Sprint is distilled to a stochastic sampler."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.text_to_image import WIDTH, masks, prompts, quiet, size

FAMILY = "Sana"


def _pipeline(cls: type, scheduler: Any, **options: Any) -> Any:
    def build() -> Any:
        transformer = SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=8,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=WIDTH,
            sample_size=4,
            **options,
        )
        return quiet(
            cls(
                tokenizer=None,
                text_encoder=None,
                vae=None,
                transformer=transformer,
                scheduler=scheduler,
            )
        )

    return seeded(build)


def _euler() -> Any:
    return _pipeline(SanaPipeline, FlowMatchEulerDiscreteScheduler(shift=3.0))


def _dpm() -> Any:
    """As the published Sana is configured: DPM-Solver++ of order 2."""
    return _pipeline(
        SanaPipeline,
        DPMSolverMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
        ),
    )


def _sprint() -> Any:
    return _pipeline(SanaSprintPipeline, SCMScheduler(), guidance_embeds=True)


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "negative_prompt": None,
        "guidance_scale": 4.5,
        "use_resolution_binning": False,
        **size(steps),
    }


def _call_sprint(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds"),
        **masks("prompt_attention_mask"),
        "intermediate_timesteps": None,
        "use_resolution_binning": False,
        **size(steps),
    }


CASES = (
    Case("SanaPipeline", _dpm, _call, FAMILY, sampler="DPMSolverMultistepScheduler"),
    Case("SanaPipeline, Euler", _euler, _call, FAMILY),
)
REFUSALS = (
    Refusal(
        "SanaSprintPipeline",
        _sprint,
        _call_sprint,
        FAMILY,
        error="UnsupportedSchedulerError",
        match="SCMScheduler",
        reason="distilled to a few steps, each of which adds fresh noise",
    ),
)
