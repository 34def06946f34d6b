"""Bria Fibo: layers of its text encoder feed blocks of the denoiser."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import BriaFiboPipeline, BriaFiboTransformer2DModel, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    BriaFibo2Pipeline,
    BriaFibo2Transformer2DModel,
    BriaFiboEditPipeline,
)
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


def _fibo2() -> Any:
    transformer = BriaFibo2Transformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        cap_feat_dim=WIDTH,
        injection_layer_ids=(1,),
        perceiver_num_layers=1,
        min_num_gist_tokens=2,
        max_num_gist_tokens=4,
        axes_dims=(4, 2, 2),
        axes_lens=(32, 32, 32),
    )
    parts: dict[str, Any] = {"vae": None, "text_encoder": None, "processor": None}
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    pipe = BriaFibo2Pipeline(transformer=awaken(transformer), scheduler=scheduler, **parts)
    pipe._get_qwen_prompt_embeds = _seen
    return quiet(pipe)


def _seen(_encoder: Any, _processor: Any, prompt: Any, *_: Any, **__: Any) -> tuple[Tensor, None]:
    """Noise for two layers of the text encoder, different for each text."""
    return noise(1, 2, TOKENS, WIDTH, seed=len("".join(prompt))), None


def _call_text_images(steps: int) -> dict[str, Any]:
    """A picture of the text in the picture, which counts from a noise level of 0.9 on."""
    prompt = '{"text_render": [{"text": "cat"}]}'
    return {**_call(steps), "prompt": prompt, "text_images": [picture(SIDE)]}


def _call(steps: int) -> dict[str, Any]:
    return {"prompt": "a cat", "negative_prompt": "", "guidance_scale": 5.0, **size(steps)}


def _call_edit(steps: int) -> dict[str, Any]:
    return {**_call(steps), "prompt": '{"edit_instruction": "a hat"}', "image": picture(SIDE)}


CASES = (
    Case(
        "BriaFiboPipeline", lambda: seeded(lambda: _fibo(BriaFiboPipeline)), _call, "Bria Fibo"
    ).brief(),
    Case("BriaFiboEditPipeline", lambda: seeded(_edit), _call_edit, "Bria Fibo").brief(),
    Case(
        "BriaFibo2Pipeline",
        lambda: seeded(_fibo2),
        _call_text_images,
        "Bria Fibo",
        branches=2,
        note="with pictures of its text, which are seen from a noise level of 0.9 on",
    ).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
