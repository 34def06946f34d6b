"""FLUX.2: guidance by embedding, and Klein: guidance by two calls, or distilled into four steps."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)

from tests.families.case import Case, seeded
from tests.families.later import Flux2KleinInpaintPipeline, Flux2KleinKVPipeline, Flux2KleinPipeline
from tests.families.pictures import mask, picture
from tests.families.text_to_image import SIDE, WIDTH, prompts, quiet, size

LATENT = 4
"""Channels of the VAE's latents."""

REFERENCE = picture(64)
"""No picture to go by may be smaller."""


def _vae() -> AutoencoderKLFlux2:
    return AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4, 8, 8),
        layers_per_block=1,
        latent_channels=LATENT,
        norm_num_groups=2,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


def _transformer(**options: bool) -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        in_channels=4 * LATENT,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        timestep_guidance_channels=8,
        axes_dims_rope=(2, 2, 2, 2),
        **options,
    )


def _built(cls: type[Any], transformer: dict[str, bool], **settings: bool) -> Any:
    pipe = seeded(
        lambda: cls(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=_vae(),
            text_encoder=None,
            tokenizer=None,
            transformer=_transformer(**transformer),
            **settings,
        )
    )
    return quiet(pipe)


def _call(steps: int, **more: Any) -> dict[str, Any]:
    return {**prompts("prompt_embeds"), **size(steps), **more}


def _guided(steps: int, **more: Any) -> dict[str, Any]:
    """A call of Klein's base model: guided by a negative prompt."""
    texts = prompts("prompt_embeds", "negative_prompt_embeds")
    return {**texts, **size(steps), "guidance_scale": 4.0, **more}


def _flux2() -> Any:
    return _built(Flux2Pipeline, {})


def _klein(cls: type[Any], is_distilled: bool) -> Any:
    return _built(cls, {"guidance_embeds": False}, is_distilled=is_distilled)


CASES = (
    Case("Flux2Pipeline", _flux2, _call, "FLUX.2"),
    Case(
        "Flux2Pipeline, with a picture to go by",
        _flux2,
        lambda steps: _call(steps, image=REFERENCE),
        "FLUX.2",
    ),
    Case(
        "Flux2KleinPipeline",
        lambda: _klein(Flux2KleinPipeline, is_distilled=False),
        _guided,
        "FLUX.2 Klein",
        branches=2,
    ),
    Case(
        "Flux2KleinPipeline, distilled",
        lambda: _klein(Flux2KleinPipeline, is_distilled=True),
        _call,
        "FLUX.2 Klein",
        steps=4,
        budgets=(2, 3),
    ),
    Case(
        "Flux2KleinInpaintPipeline",
        lambda: _klein(Flux2KleinInpaintPipeline, is_distilled=False),
        lambda steps: _guided(steps, image=picture(SIDE), mask_image=mask(SIDE), strength=1.0),
        "FLUX.2 Klein",
        branches=2,
    ),
    Case(
        "Flux2KleinKVPipeline",
        lambda: _klein(Flux2KleinKVPipeline, is_distilled=True),
        lambda steps: _call(steps, image=REFERENCE),
        "FLUX.2 Klein",
        steps=4,
        budgets=(2, 3),
    ),
)
REFUSALS = ()
