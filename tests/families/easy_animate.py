"""EasyAnimate: guidance in one batched call; other videos beside the latents."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLMagvit,
    EasyAnimateControlPipeline,
    EasyAnimateInpaintPipeline,
    EasyAnimatePipeline,
    EasyAnimateTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import awaken, noise
from tests.families.text_to_image import SIDE, WIDTH, masks, prompts, quiet, size

CHANNELS = 4


class Mended(EasyAnimateControlPipeline):
    """As released, its call hands ``encode_prompt`` an argument that it does not take."""

    def encode_prompt(self, *arguments: Any, text_encoder_index: int, **named: Any) -> Any:
        return super().encode_prompt(*arguments, **named)


def _easy(cls: type[Any] = EasyAnimatePipeline, beside: int = 0) -> Any:
    """A pipeline whose denoiser is given so many channels beside those of the latents."""
    transformer = EasyAnimateTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=CHANNELS + beside,
        out_channels=CHANNELS,
        patch_size=2,
        num_layers=1,
        mmdit_layers=1,
        time_embed_dim=8,
        text_embed_dim=WIDTH,
    )
    vae = AutoencoderKLMagvit(
        latent_channels=CHANNELS,
        block_out_channels=[4, 4, 4, 4],
        layers_per_block=1,
        norm_num_groups=2,
    )
    vae.register_to_config(cache_mag_vae=True)  # as published
    return quiet(
        cls(
            transformer=awaken(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=vae,
            text_encoder=None,
            tokenizer=None,
        )
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "num_frames": 5,
        "guidance_scale": 5.0,
        **size(steps),
    }


def _video() -> Tensor:
    """Five frames [1, 3, 5, SIDE, SIDE], 0 to 1."""
    return noise(1, 3, 5, SIDE, SIDE).sigmoid()


def _call_masked(steps: int) -> dict[str, Any]:
    hidden = torch.zeros(1, 1, 5, SIDE, SIDE)
    hidden[..., : SIDE // 2] = 1
    return {**_call(steps), "video": _video(), "mask_video": hidden}


CASES = (
    Case("EasyAnimatePipeline", lambda: seeded(_easy), _call, "EasyAnimate").brief(),
    Case(
        "EasyAnimateControlPipeline",
        lambda: seeded(lambda: _easy(Mended, 2 * CHANNELS)),
        lambda steps: {**_call(steps), "control_video": _video()},
        "EasyAnimate",
        note="with its `encode_prompt` mended: as released, every call is a `TypeError`",
    ).brief(),
    Case(
        "EasyAnimateInpaintPipeline",
        lambda: seeded(lambda: _easy(EasyAnimateInpaintPipeline, 1 + CHANNELS)),
        _call_masked,
        "EasyAnimate",
    ).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
