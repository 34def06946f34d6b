"""Pipelines whose guidance has a denoiser, or steps, of its own; and one that asks for classes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers import BriaPipeline, BriaTransformer2DModel, FlowMatchEulerDiscreteScheduler

from tests.families.audio import ACE_STEP, ace_step_base, call_ace_step
from tests.families.case import Case, seeded
from tests.families.later import Ideogram4Pipeline, Ideogram4Transformer2DModel
from tests.families.pictures import awaken
from tests.families.text_to_image import TOKENS, WIDTH, prompts, quiet, size, tiny_vae


def _bria() -> Any:
    transformer = BriaTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=[2, 2, 4],
    )
    return quiet(
        BriaPipeline(
            transformer=awaken(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=tiny_vae(),
            text_encoder=None,
            tokenizer=None,
        )
    )


class Told(Ideogram4Pipeline):
    """Given noise for its text's features: the model's own encoder is an 8B language model."""

    def encode_prompt(
        self, prompt: Any, grid_h: int, grid_w: int, max_sequence_length: int, device: Any
    ) -> tuple[torch.Tensor, ...]:
        features = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(7))
        padded = torch.cat([features, torch.zeros(1, grid_h * grid_w, WIDTH)], dim=1)
        ids = self._prepare_ids([TOKENS], grid_h, grid_w, max_sequence_length, device)
        return padded, *ids


def _ideogram() -> Any:
    def denoiser() -> Any:
        return awaken(
            Ideogram4Transformer2DModel(
                in_channels=16,
                num_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                intermediate_size=32,
                adaln_dim=16,
                llm_features_dim=WIDTH,
                mrope_section=(4, 2, 2),
            )
        )

    return quiet(
        Told(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=None,
            text_encoder=None,
            tokenizer=None,
            transformer=denoiser(),
            unconditional_transformer=denoiser(),
        )
    )


def _call_ideogram(steps: int) -> dict[str, Any]:
    return {
        "prompt": "a cat",
        "guidance_scale": 4.0,
        "guidance_schedule": None,
        "max_sequence_length": TOKENS,
        **size(steps),
    }


def _call_bria(steps: int) -> dict[str, Any]:
    return {**prompts("prompt_embeds", "negative_prompt_embeds"), "guidance_scale": 4.0} | size(
        steps
    )


def _call_late(steps: int) -> dict[str, Any]:
    return {**call_ace_step(steps), "guidance_scale": 7.0, "cfg_interval_start": 0.5}


CASES = (
    Case("BriaPipeline", partial(seeded, _bria), _call_bria, "Bria"),
    Case(
        "Ideogram4Pipeline",
        partial(seeded, _ideogram),
        _call_ideogram,
        "Ideogram 4",
        branches=2,
        note="the guidance has a transformer of its own; its text features are given here",
    ),
    Case(
        "AceStepPipeline, base, guided from half-way",
        ace_step_base,
        _call_late,
        ACE_STEP,
        remembers=True,
        note="a cached step may have another batch size than the last refresh",
    ),
)
REFUSALS = ()
