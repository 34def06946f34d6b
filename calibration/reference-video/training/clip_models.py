"""The pieces of the miniature WanPipeline."""

from __future__ import annotations

import shared  # noqa: F401
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from models import TEXT_WIDTH, make_scheduler, t5_sizes
from motions import CAST, MOTIONS
from subjects import COLOURS
from text import make_t5_tokenizer, pieces
from torch import nn
from transformers import PreTrainedTokenizerBase, UMT5Config, UMT5EncoderModel
from wordings import RELATIONS

LATENT_CHANNELS = 24
ENCODER_WIDTH = 8
DECODER_WIDTH = 16
HEADS, HEAD_WIDTH, LAYERS = 6, 32, 6


def make_vae() -> AutoencoderKLWan:
    """Eight-fold in space and four-fold in time: 9 x 48 x 48 pixels are 3 x 6 x 6 latents."""
    return AutoencoderKLWan(
        base_dim=ENCODER_WIDTH,
        decoder_base_dim=DECODER_WIDTH,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_temporal=4,
        scale_factor_spatial=8,
    )


def make_transformer() -> WanTransformer3DModel:
    """Six blocks of width 192; gates, what the text adds and the output begin at zero."""
    width = HEADS * HEAD_WIDTH
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_WIDTH,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_WIDTH,
        freq_dim=256,
        ffn_dim=3 * width,
        num_layers=LAYERS,
        rope_max_seq_len=32,
    )
    for name, parameter in model.named_parameters():
        silent = ("scale_shift_table", "time_proj.weight", "time_proj.bias", "proj_out.weight")
        if name.endswith(silent) or name == "proj_out.bias" or "attn2.to_out" in name:
            nn.init.zeros_(parameter)
    return model


def make_tokenizer() -> PreTrainedTokenizerBase:
    """T5's kind, of the grammar's words: always the same."""
    joined = [f"{r} {a}" for r in (*RELATIONS, "and", "on") for a in ("a", "an")]
    names = [name for name in CAST if " " in name]
    moves = [motion for motion in MOTIONS if " " in motion]
    text = " ".join([*CAST, *COLOURS, *RELATIONS, *MOTIONS, "a an and on ground"])
    phrases = sorted({*joined, *RELATIONS, *names, *moves})
    return make_t5_tokenizer(pieces(sorted(set(text.split())), phrases))


def make_text_encoder(tokenizer: PreTrainedTokenizerBase) -> UMT5EncoderModel:
    """Two-layer UMT5 encoder; the transformer attends to its output."""
    return UMT5EncoderModel(UMT5Config(**t5_sizes(tokenizer)))


def make_pipeline(
    vae: AutoencoderKLWan,
    transformer: WanTransformer3DModel,
    encoder: UMT5EncoderModel,
    tokenizer: PreTrainedTokenizerBase,
) -> WanPipeline:
    """The pipeline of the given parts."""
    scheduler: FlowMatchEulerDiscreteScheduler = make_scheduler()
    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=vae,
        scheduler=scheduler,
        transformer=transformer,
    )
