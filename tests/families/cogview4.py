"""CogView4: one denoiser call for each branch of the guidance."""

from __future__ import annotations

from typing import Any

from diffusers import (
    CogView4ControlPipeline,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)

from tests.families.case import Case, seeded
from tests.families.pictures import picture
from tests.families.text_to_image import WIDTH, prompts, quiet, size, tiny_vae

FAMILY = "CogView4"
CHANNELS = 4


def _pipeline(cls: type, channels: int, vae: Any) -> Any:
    transformer = CogView4Transformer2DModel(
        in_channels=channels,
        out_channels=CHANNELS,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=WIDTH,
        time_embed_dim=16,
        condition_dim=4,
        rope_axes_dim=(4, 4),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, time_shift_type="linear"
    )
    return quiet(
        cls(
            tokenizer=None,
            text_encoder=None,
            vae=vae,
            transformer=transformer,
            scheduler=scheduler,
        )
    )


def _text_to_image() -> Any:
    return seeded(lambda: _pipeline(CogView4Pipeline, CHANNELS, None))


def _control() -> Any:
    return seeded(lambda: _pipeline(CogView4ControlPipeline, 2 * CHANNELS, tiny_vae(CHANNELS)))


def _call(steps: int) -> dict[str, Any]:
    embeddings = prompts("prompt_embeds", "negative_prompt_embeds")
    return {**embeddings, "guidance_scale": 3.5, **size(steps)}


def _call_control(steps: int) -> dict[str, Any]:
    return {**_call(steps), "control_image": picture()}


CASES = (
    Case("CogView4Pipeline", _text_to_image, _call, FAMILY, branches=2),
    Case("CogView4ControlPipeline", _control, _call_control, FAMILY, branches=2),
)
REFUSALS = ()
