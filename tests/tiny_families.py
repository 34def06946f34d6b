"""Tiny pipelines of other families, built in memory: random weights, no text encoder, no VAE.

They are called with embeddings in place of prompts, and give latents.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)

SIDE = 32
"""Height and width of their pictures, in pixels: 2 × 2 image tokens."""

WIDTH = 16
TOKENS = 5


def tiny_qwen_image(seed: int = 0) -> QwenImagePipeline:
    """Two denoiser calls a step, one for each branch of the guidance; σ shifted by size."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(8, 4, 4),
        ).eval()
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02
    )
    pipe = QwenImagePipeline(
        scheduler=scheduler, vae=None, text_encoder=None, tokenizer=None, transformer=transformer
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def qwen_image_options(steps: int) -> dict[str, Any]:
    """Keyword arguments of one small deterministic run with true classifier-free guidance."""
    prompts = _embeddings(2)
    mask = torch.ones(1, TOKENS, dtype=torch.int64)
    return {
        "prompt_embeds": prompts[:1],
        "prompt_embeds_mask": mask,
        "negative_prompt_embeds": prompts[1:],
        "negative_prompt_embeds_mask": mask,
        "true_cfg_scale": 4.0,
        **_common(steps),
    }


def tiny_z_image(seed: int = 0) -> ZImagePipeline:
    """One denoiser call a step, with both branches in a batch; its output is minus the velocity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = ZImageTransformer2DModel(
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=WIDTH,
            axes_dims=[8, 4, 4],
            axes_lens=[256, 32, 32],
        ).eval()
        for token in (transformer.x_pad_token, transformer.cap_pad_token):
            torch.nn.init.normal_(token)  # diffusers leaves them uninitialised
    pipe = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=None,
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def z_image_options(steps: int) -> dict[str, Any]:
    """Keyword arguments of one small deterministic run with batched guidance."""
    prompt, negative = _embeddings(2)
    return {
        "prompt_embeds": [prompt],
        "negative_prompt_embeds": [negative],
        "guidance_scale": 4.0,
        **_common(steps),
    }


def _embeddings(count: int) -> torch.Tensor:
    return torch.randn(count, TOKENS, WIDTH, generator=torch.Generator().manual_seed(7))


def _common(steps: int) -> dict[str, Any]:
    return {
        "num_inference_steps": steps,
        "height": SIDE,
        "width": SIDE,
        "generator": torch.Generator().manual_seed(0),
        "output_type": "latent",
    }
