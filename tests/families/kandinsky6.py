"""Kandinsky 6: video and sound in one step, and super-resolution tile by tile."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKLHunyuanVideo, FlowMatchEulerDiscreteScheduler

from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    Kandinsky6SRPipeline,
    Kandinsky6SRTransformer3DModel,
    Kandinsky6SRVAE,
    Kandinsky6TI2VAPipeline,
    Kandinsky6Transformer3DModel,
    MMAudioVAE,
    MMAudioVocoder,
    PiflowScheduler,
)
from tests.families.pictures import awaken, noise, picture
from tests.families.text_to_image import SIDE, WIDTH, prompts, quiet, size

CHANNELS = 4
TILE = 32
FAMILY = "Kandinsky 6"


def _with_sound(scheduler: Any) -> Any:
    transformer = Kandinsky6Transformer3DModel(
        in_visual_dim=CHANNELS,
        out_visual_dim=CHANNELS,
        in_text_dim=WIDTH,
        in_text_dim2=WIDTH,
        time_dim=16,
        model_dim=16,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(4, 2, 2),
        in_audio_dim=CHANNELS,
        out_audio_dim=CHANNELS,
        axes_dims_a=(8,),
        visual_token_type_num_embeddings=2,
    )
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=CHANNELS,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    absent = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    parts = {"vae": vae, **dict.fromkeys(absent), **_sound()}
    return quiet(
        Kandinsky6TI2VAPipeline(transformer=awaken(transformer), scheduler=scheduler, **parts)
    )


def _sound() -> dict[str, Any]:
    """What decodes the sound, which runs that end in latents ask for and do not use."""
    autoencoder = MMAudioVAE(
        mel_bins=8,
        latent_channels=CHANNELS,
        hidden_channels=8,
        channel_multipliers=(1, 1, 1),
        layers_per_block=1,
        sample_rate=1600,
        n_fft=64,
        hop_length=64,
    )
    vocoder = MMAudioVocoder(
        num_mels=8,
        upsample_initial_channel=8,
        upsample_rates=(2, 2),
        upsample_kernel_sizes=(4, 4),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3, 5),),
    )
    return {"audio_vae": autoencoder, "vocoder": vocoder}


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        "pooled_prompt_embeds": noise(1, WIDTH, seed=1),
        "negative_pooled_prompt_embeds": noise(1, WIDTH, seed=2),
        "image": picture(SIDE),
        "num_frames": 5,
        **size(steps),
    }


def _upscaler() -> Any:
    transformer = Kandinsky6SRTransformer3DModel(
        in_visual_dim=CHANNELS,
        out_visual_dim=CHANNELS,
        time_dim=16,
        model_dim=16,
        ff_dim=32,
        num_visual_blocks=1,
        axes_dims=(4, 2, 2),
        tile_sizes=((TILE, TILE),),
    )
    vae = Kandinsky6SRVAE(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(16, 16, 16),
        decoder_block_out_channels=(16, 16, 16),
        layers_per_block=1,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    return quiet(
        Kandinsky6SRPipeline(transformer=awaken(transformer), vae=vae, scheduler=scheduler)
    )


def _call_tiles(steps: int, side: int) -> dict[str, Any]:
    return {
        "video": [picture(side)] * 5,
        "resolution_scale": 2,
        "num_inference_steps": steps,
        "output_type": "pt",
    }


CASES = (
    Case(
        "Kandinsky6TI2VAPipeline",
        lambda: seeded(lambda: _with_sound(FlowMatchEulerDiscreteScheduler(shift=5.0))),
        _call,
        FAMILY,
        branches=2,
        note="the sound follows the same plan as the video",
    ).brief(),
    Case(
        "Kandinsky6SRPipeline, one tile",
        lambda: seeded(_upscaler),
        lambda steps: _call_tiles(steps, TILE // 2),
        FAMILY,
    ).brief(),
)
REFUSALS = (
    Refusal(
        "Kandinsky6TI2VAPipeline, distilled",
        lambda: seeded(lambda: _with_sound(PiflowScheduler())),
        _call,
        FAMILY,
        error="UnsupportedSchedulerError",
        match="PiflowScheduler",
        reason="a sampler of its own, distilled to a few steps",
        steps=4,
    ),
    Refusal(
        "Kandinsky6SRPipeline, several tiles",
        lambda: seeded(_upscaler),
        lambda steps: _call_tiles(steps, TILE),
        FAMILY,
        error="ReplayError",
        match="all 4 steps of the schedule are taken",
        reason="the tiles are sampled one after another in one call, and a plan is for one run",
        steps=4,
    ),
)
