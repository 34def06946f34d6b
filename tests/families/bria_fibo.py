"""Bria Fibo: every layer of its text encoder feeds a block of the denoiser."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    BriaFiboPipeline,
    BriaFiboTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import awaken, noise
from tests.families.text_to_image import TOKENS, WIDTH, quiet, size


class Told(BriaFiboPipeline):
    """Given noise for its text's features: it does not take embeddings."""

    def get_prompt_embeds(self, prompt: list[str], **_: Any) -> tuple[Tensor, list[Tensor], Tensor]:
        layers = [noise(1, TOKENS, WIDTH, seed=len(prompt[0]) + i) for i in range(2)]
        return torch.cat(layers, dim=-1), layers, torch.ones(1, TOKENS)


def _fibo() -> Any:
    transformer = BriaFiboTransformer2DModel(
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        text_encoder_dim=WIDTH,
        axes_dims_rope=[2, 2, 4],
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    parts: dict[str, Any] = {"vae": None, "tokenizer": None}
    parts["text_encoder"] = transformer  # asked for its dtype, and for nothing else
    return quiet(Told(transformer=awaken(transformer), scheduler=scheduler, **parts))


def _call(steps: int) -> dict[str, Any]:
    return {"prompt": "a cat", "negative_prompt": "", "guidance_scale": 5.0, **size(steps)}


CASES = (Case("BriaFiboPipeline", lambda: seeded(_fibo), _call, "Bria Fibo").brief(),)
REFUSALS: tuple[Refusal, ...] = ()
