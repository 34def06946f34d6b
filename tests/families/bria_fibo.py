"""Bria Fibo: every layer of its text encoder feeds a block of the denoiser."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    BriaFiboEditPipeline,
    BriaFiboPipeline,
    BriaFiboTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import awaken, noise, picture
from tests.families.text_to_image import SIDE, TOKENS, WIDTH, quiet, size
from tests.families.wan import tiny_wan_vae


def _told(prompt: list[str], **_: Any) -> tuple[Tensor, list[Tensor], Tensor]:
    """Noise for features of the text: it does not take embeddings."""
    layers = [noise(1, TOKENS, WIDTH, seed=len(prompt[0]) + i) for i in range(2)]
    return torch.cat(layers, dim=-1), layers, torch.ones(1, TOKENS)


def _fibo(cls: type[Any], vae: Any = None) -> Any:
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
    parts: dict[str, Any] = {"vae": vae, "tokenizer": None}
    parts["text_encoder"] = transformer  # asked for its dtype, and for nothing else
    pipe = cls(transformer=awaken(transformer), scheduler=scheduler, **parts)
    pipe.get_prompt_embeds = _told
    return quiet(pipe)


def _edit() -> Any:
    return _fibo(BriaFiboEditPipeline, tiny_wan_vae(in_channels=12, out_channels=12, patch_size=2))


def _call(steps: int) -> dict[str, Any]:
    return {"prompt": "a cat", "negative_prompt": "", "guidance_scale": 5.0, **size(steps)}


def _call_edit(steps: int) -> dict[str, Any]:
    return {**_call(steps), "prompt": '{"edit_instruction": "a hat"}', "image": picture(SIDE)}


CASES = (
    Case(
        "BriaFiboPipeline", lambda: seeded(lambda: _fibo(BriaFiboPipeline)), _call, "Bria Fibo"
    ).brief(),
    Case("BriaFiboEditPipeline", lambda: seeded(_edit), _call_edit, "Bria Fibo").brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
