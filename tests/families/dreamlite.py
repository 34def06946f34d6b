"""DreamLite: its denoiser is a U-Net that sees the picture to edit beside the latents."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.later import DreamLiteMobilePipeline, DreamLitePipeline, DreamLiteUNetModel
from tests.families.pictures import noise, picture
from tests.families.text_to_image import SIDE, TOKENS, WIDTH, quiet, size

CHANNELS = 4


def _told(prompts: list[str], **_: Any) -> tuple[Tensor, Tensor]:
    """Noise for features of the text: it does not take embeddings."""
    each = [noise(1, TOKENS, WIDTH, seed=len(text)) for text in prompts]
    return torch.cat(each), torch.ones(len(prompts), TOKENS, dtype=torch.int64)


def _pipeline(cls: type[Any]) -> Any:
    unet = DreamLiteUNetModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        addition_embed_type="time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16,
    )
    vae = AutoencoderTiny(
        encoder_block_out_channels=(4, 4, 4, 4),
        decoder_block_out_channels=(4, 4, 4, 4),
        latent_channels=CHANNELS,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    parts = {"text_encoder": unet, "tokenizer": None, "processor": None}  # asked for its dtype
    pipe = cls(unet=unet, vae=vae, scheduler=scheduler, **parts)
    pipe.encode_prompt = _told
    return quiet(pipe)


def _call(steps: int, **more: Any) -> dict[str, Any]:
    return {"prompt": "a cat", **size(steps), **more}


CASES = (
    Case(
        "DreamLitePipeline",
        lambda: seeded(lambda: _pipeline(DreamLitePipeline)),
        _call,
        "DreamLite",
    ).brief(),
    Case(
        "DreamLitePipeline, with a picture",
        lambda: seeded(lambda: _pipeline(DreamLitePipeline)),
        partial(_call, image=picture(SIDE)),
        "DreamLite",
    ).brief(),
    Case(
        "DreamLiteMobilePipeline",
        lambda: seeded(lambda: _pipeline(DreamLiteMobilePipeline)),
        _call,
        "DreamLite",
    ).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
