"""What tiny text-to-image pipelines are made of and called with: embeddings stand for prompts."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from tests.families.pictures import noise

SIDE = 32
"""Height and width of the pictures, in pixels."""

WIDTH = 16
"""Width of text embeddings."""

TOKENS = 5
"""Text tokens of a prompt."""


def prompts(*names: str, width: int = WIDTH) -> dict[str, Tensor]:
    """An embedding [1, TOKENS, width] for each argument that takes one, all different."""
    return {name: noise(1, TOKENS, width, seed=seed) for seed, name in enumerate(names)}


def masks(*names: str) -> dict[str, Tensor]:
    """An attention mask [1, TOKENS] that hides nothing, for each argument that takes one."""
    return {name: torch.ones(1, TOKENS, dtype=torch.int64) for name in names}


def size(steps: int) -> dict[str, Any]:
    """Steps, height and width of a run that ends in latents."""
    return {
        "num_inference_steps": steps,
        "height": SIDE,
        "width": SIDE,
        "output_type": "latent",
    }


def tiny_vae(channels: int = 4, **options: Any) -> AutoencoderKL:
    """An autoencoder whose latents have an eighth of the picture's side, as the full ones have."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=2,
        mid_block_add_attention=False,
        shift_factor=0.0,
        **options,
    )


def quiet(pipe: Any) -> Any:
    """The pipeline with its models in eval mode and its progress bar off."""
    for component in pipe.components.values():
        if isinstance(component, torch.nn.Module):
            component.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe
