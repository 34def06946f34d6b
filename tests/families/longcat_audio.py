"""LongCat's sound: noise levels that rise, from noise at 0 to sound at 1."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.families.case import Case, Refusal, seeded
from tests.families.later import LongCatAudioDiTPipeline, LongCatAudioDiTTransformer
from tests.families.pictures import awaken, noise
from tests.families.text_to_image import TOKENS, WIDTH, quiet

CHANNELS = 8


class Told(LongCatAudioDiTPipeline):
    """Given noise for its text's features: it does not take embeddings."""

    def encode_prompt(self, prompt: Any, device: Any) -> tuple[Tensor, Tensor]:
        return noise(1, TOKENS, WIDTH, seed=len(prompt[0])), torch.tensor([TOKENS])


class Sizes:
    """Stands for the autoencoder, of which only sizes are asked."""

    config = SimpleNamespace(sample_rate=16, downsampling_ratio=4)


def _longcat() -> Any:
    transformer = LongCatAudioDiTTransformer(
        dit_dim=16, dit_depth=2, dit_heads=2, dit_text_dim=WIDTH, latent_dim=CHANNELS
    )
    return quiet(
        Told(
            vae=Sizes(),
            text_encoder=None,
            tokenizer=None,
            transformer=awaken(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        )
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        "prompt": "a piano",
        "negative_prompt": "noise",
        "audio_duration_s": 2.0,
        "num_inference_steps": steps,
        "output_type": "latent",
    }


CASES = (
    Case(
        "LongCatAudioDiTPipeline",
        lambda: seeded(_longcat),
        _call,
        "LongCat-AudioDiT",
        branches=2,
    ).brief(),
)
REFUSALS: tuple[Refusal, ...] = ()
