"""The pieces of the miniature FluxPipeline, and how its latents are packed."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderTiny,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5EncoderModel,
)

LATENT_CHANNELS = 16
GRID = 4
CLIP_LENGTH = 16
TEXT_LENGTH = 12
TEXT_WIDTH = 128
SHIFT = 3.0
ENCODER_WIDTH = 48
DECODER_WIDTH = 32
DECODER_BLOCKS = (3, 3, 2, 0)


def make_vae() -> AutoencoderTiny:
    """Eight-fold autoencoder: 64 x 64 pixels become 8 x 8 latents of 16 channels.

    The encoder is without blocks, a linear map (see `latents`); the decoder is a residual network.
    """
    return AutoencoderTiny(
        encoder_block_out_channels=(ENCODER_WIDTH,) * 4,
        num_encoder_blocks=(0, 0, 0, 0),
        decoder_block_out_channels=(DECODER_WIDTH,) * 4,
        num_decoder_blocks=DECODER_BLOCKS,
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def make_transformer() -> FluxTransformer2DModel:
    """Two double and four single blocks of width 192, with adaLN and the output at zero."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=6,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    modulations = ("norm.linear", "norm1.linear", "norm1_context.linear", "norm_out.linear")
    for name, module in model.named_modules():
        if name.endswith(modulations) or name == "proj_out":
            assert isinstance(module, nn.Linear)
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def make_clip(tokenizer: PreTrainedTokenizerBase) -> CLIPTextModel:
    """Two-layer CLIP text encoder; the pipeline uses its pooled output."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CLIP_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_t5(tokenizer: PreTrainedTokenizerBase) -> T5EncoderModel:
    """Two-layer T5 encoder; the transformer attends to its output."""
    return T5EncoderModel(T5Config(**t5_sizes(tokenizer)))


def t5_sizes(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Those of a two-layer encoder of the T5 family for the tokenizer's words."""
    return {
        "vocab_size": len(tokenizer),
        "d_model": TEXT_WIDTH,
        "d_kv": 32,
        "d_ff": 2 * TEXT_WIDTH,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.0,
        "is_encoder_decoder": False,
        "use_cache": False,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def make_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Flow matching with the constant shift that the large models use."""
    return FlowMatchEulerDiscreteScheduler(shift=SHIFT, use_dynamic_shifting=False)


def make_pipeline(
    vae: AutoencoderTiny,
    transformer: FluxTransformer2DModel,
    encoders: tuple[CLIPTextModel, T5EncoderModel],
    tokenizers: tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase],
) -> FluxPipeline:
    """The pipeline of the given parts."""
    return FluxPipeline(
        scheduler=make_scheduler(),
        vae=vae,
        text_encoder=encoders[0],
        tokenizer=tokenizers[0],
        text_encoder_2=encoders[1],
        tokenizer_2=tokenizers[1],
        transformer=transformer,
    )


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Latents n x 16 x 8 x 8 as the transformer takes them: n x 16 tokens x 64."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, 4 * channels)


def unpack(tokens: torch.Tensor) -> torch.Tensor:
    """What `pack` undoes: n x 16 tokens x 64 as latents n x 16 x 8 x 8."""
    patches = tokens.reshape(len(tokens), GRID, GRID, LATENT_CHANNELS, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), -1, 2 * GRID, 2 * GRID)


def position_ids() -> tuple[torch.Tensor, torch.Tensor]:
    """Rotary positions of the image tokens and of the text tokens, as the pipeline makes them."""
    image = torch.zeros(GRID, GRID, 3)
    image[..., 1] = torch.arange(GRID)[:, None]
    image[..., 2] = torch.arange(GRID)[None, :]
    return image.reshape(-1, 3), torch.zeros(TEXT_LENGTH, 3)


def parameters(module: nn.Module) -> int:
    """How many parameters a module has."""
    return sum(p.numel() for p in module.parameters())
