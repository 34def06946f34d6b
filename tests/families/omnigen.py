"""OmniGen: text and pictures are the denoiser's own tokens; its noise levels rise from 0 to 1."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, OmniGenPipeline, OmniGenTransformer2DModel
from diffusers.pipelines.omnigen import pipeline_omnigen
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import awaken, noise, picture
from tests.families.text_to_image import SIDE, quiet, size, tiny_vae

CHANNELS = 4
TEXT, PICTURE = 8, 4
"""Tokens of a prompt, and of a picture of SIDE × SIDE pixels."""


class Told:
    """Stands for the processor of prompts, which wants torchvision: gives tokens of its own."""

    max_image_size = 1024

    def __init__(self, _tokenizer: Any, **_: Any) -> None: ...

    def __call__(self, _prompt: Any, images: list[Any], **_: Any) -> dict[str, Any]:
        shown = [0, 2] if images[0] else []  # of: guided by all, by nothing, by the picture
        rows = 3 if shown else 2
        every = TEXT + 1 + PICTURE
        pixels: list[Tensor] = [noise(1, 3, SIDE, SIDE) for _ in shown]
        return {
            "input_ids": torch.arange(rows * TEXT).reshape(rows, TEXT) % 11,
            "attention_mask": torch.ones(rows, every, every),
            "position_ids": torch.arange(every).repeat(rows, 1),
            "input_pixel_values": pixels,
            "input_image_sizes": {row: [[1, 1 + PICTURE]] for row in shown},
        }


def _omnigen() -> Any:
    transformer = OmniGenTransformer2DModel(
        in_channels=CHANNELS,
        hidden_size=16,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        num_layers=1,
        pad_token_id=0,
        vocab_size=11,
        time_step_dim=8,
        rope_scaling={"long_factor": [1.0] * 4, "short_factor": [1.0] * 4},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_omnigen, "OmniGenMultiModalProcessor", Told, raising=False)
        pipe = OmniGenPipeline(
            transformer=awaken(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True, num_train_timesteps=1),
            vae=tiny_vae(CHANNELS),
            tokenizer=None,
        )
    return quiet(pipe)


def _call(steps: int) -> dict[str, Any]:
    return {"prompt": "a cat", "guidance_scale": 2.5, **size(steps)}


def _call_with_picture(steps: int) -> dict[str, Any]:
    told = {"prompt": "a hat on <img><|image_1|></img>", "input_images": [picture(SIDE)]}
    return {**_call(steps), **told}


_OMNIGEN = Case("OmniGenPipeline", lambda: seeded(_omnigen), _call, "OmniGen").brief()
CASES = (
    _OMNIGEN,
    _OMNIGEN.variant(name="OmniGenPipeline, with a picture", call=_call_with_picture),
)
REFUSALS: tuple[Refusal, ...] = ()
