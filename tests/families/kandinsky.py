"""Kandinsky 5, pictures and videos: guidance in two calls, latents changed in place."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    Kandinsky5I2IPipeline,
    Kandinsky5I2VPipeline,
    Kandinsky5T2IPipeline,
    Kandinsky5T2VPipeline,
    Kandinsky5Transformer3DModel,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import noise, picture
from tests.families.text_to_image import SIDE, TOKENS, WIDTH, prompts, quiet, size, tiny_vae

CHANNELS = 4
FAMILY = "Kandinsky 5"


def _pipeline(cls: type[Any], vae: Any, *, conditioned: bool) -> Any:
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=CHANNELS,
        in_text_dim=WIDTH,
        in_text_dim2=WIDTH,
        time_dim=16,
        out_visual_dim=CHANNELS,
        model_dim=16,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=2,
        axes_dims=(2, 2, 4),
        visual_cond=conditioned,
    )
    return quiet(
        cls(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
            vae=vae,
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=None,
            tokenizer_2=None,
        )
    )


def _text_to_image() -> Any:
    pipe = _pipeline(Kandinsky5T2IPipeline, None, conditioned=False)
    pipe.resolutions = [(SIDE, SIDE)]  # it rounds to those that the model was trained for
    return pipe


def _image_to_image() -> Any:
    pipe = _pipeline(Kandinsky5I2IPipeline, tiny_vae(), conditioned=True)
    pipe.resolutions = [(SIDE, SIDE)]
    return pipe


def _text_to_video() -> Any:
    return _pipeline(Kandinsky5T2VPipeline, None, conditioned=True)


def _image_to_video() -> Any:
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=CHANNELS,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    return _pipeline(Kandinsky5I2VPipeline, vae, conditioned=True)


def _call(steps: int) -> dict[str, Any]:
    lengths = torch.tensor([0, TOKENS])
    return {
        **prompts("prompt_embeds_qwen", "negative_prompt_embeds_qwen"),
        "prompt_embeds_clip": noise(1, WIDTH, seed=1),
        "negative_prompt_embeds_clip": noise(1, WIDTH, seed=2),
        "prompt_cu_seqlens": lengths,
        "negative_prompt_cu_seqlens": lengths,
        "guidance_scale": 5.0,
        **size(steps),
    }


def _call_video(steps: int) -> dict[str, Any]:
    return {**_call(steps), "num_frames": 17}


CASES = (
    Case("Kandinsky5T2IPipeline", lambda: seeded(_text_to_image), _call, FAMILY, branches=2),
    Case(
        "Kandinsky5I2IPipeline",
        lambda: seeded(_image_to_image),
        lambda steps: {**_call(steps), "image": picture(SIDE)},
        FAMILY,
        branches=2,
    ),
    Case("Kandinsky5T2VPipeline", lambda: seeded(_text_to_video), _call_video, FAMILY, branches=2),
    Case(
        "Kandinsky5I2VPipeline",
        lambda: seeded(_image_to_video),
        lambda steps: {**_call_video(steps), "image": picture(SIDE)},
        FAMILY,
        branches=2,
        note="the first frame is given, and the schedule moves the others",
    ),
)
REFUSALS: tuple[Refusal, ...] = ()
