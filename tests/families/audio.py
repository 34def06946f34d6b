"""Sound: Stable Audio 3 and ACE-Step."""

from __future__ import annotations

import string
from functools import partial
from typing import Any

from diffusers import AutoencoderOobleck, FlowMatchEulerDiscreteScheduler
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

from tests.families import later
from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    AceStepConditionEncoder,
    AceStepPipeline,
    AceStepTransformer1DModel,
    AutoencoderSAME,
    StableAudio3AudioToAudioPipeline,
    StableAudio3DiTModel,
    StableAudio3InpaintPipeline,
    StableAudio3Pipeline,
)
from tests.families.pictures import noise
from tests.families.text_to_image import WIDTH, prompts, quiet

StableAudio3DurationEmbedder = later.of(
    "diffusers.pipelines.stable_audio_3.modeling_stable_audio_3", "StableAudio3DurationEmbedder"
)

STABLE_AUDIO = "Stable Audio 3"
ACE_STEP = "ACE-Step"
CHANNELS = 8
"""Channels of audio latents."""
SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
"""Of ACE-Step's attention."""


def _stable_audio(cls: type = StableAudio3Pipeline, **scheduler: Any) -> Any:
    def build() -> Any:
        transformer = StableAudio3DiTModel(
            io_channels=CHANNELS,
            embed_dim=16,
            depth=2,
            num_heads=2,
            cond_token_dim=WIDTH,
            global_cond_dim=WIDTH,
            local_add_cond_dim=1 + CHANNELS,
            timestep_features_dim=16,
            ff_mult=2,
            num_memory_tokens=3,
        )
        pipe = cls(
            vae=_same(),
            text_encoder=None,
            tokenizer=None,
            duration_embedder=StableAudio3DurationEmbedder(output_dim=WIDTH, fourier_dim=16),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, **scheduler),
        )
        return quiet(pipe)

    return seeded(build)


def _same() -> AutoencoderSAME:
    return AutoencoderSAME(
        patch_size=2,
        encoder_channels=8,
        encoder_c_mults=(2,),
        encoder_strides=(2,),
        encoder_transformer_depths=(1,),
        latent_dim=CHANNELS,
        dim_heads=4,
        ff_mult=2,
        sampling_rate=16,
    )


def _base() -> Any:
    return _stable_audio()


def _distilled() -> Any:
    return _stable_audio(stochastic_sampling=True)


def _from_sound() -> Any:
    return _stable_audio(StableAudio3AudioToAudioPipeline)


def _inpaint() -> Any:
    return _stable_audio(StableAudio3InpaintPipeline)


def _call_base(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds"),
        "duration": 2.0,
        "num_inference_steps": steps,
        "output_type": "latent",
    }


def _call_stable_audio(steps: int) -> dict[str, Any]:
    both = prompts("prompt_embeds", "negative_prompt_embeds")
    return {**_call_base(steps), **both, "guidance_scale": 4.0}


def _call_from_sound(steps: int, level: float = 1.0) -> dict[str, Any]:
    return {**_call_base(steps), "audio": noise(1, 2, 32), "init_noise_level": level}


def _call_inpaint(steps: int) -> dict[str, Any]:
    return {
        **_call_base(steps),
        "audio": noise(1, 2, 32),
        "mask_start_seconds": 0.5,
        "mask_end_seconds": 1.5,
    }


def _ace_step(is_turbo: bool) -> Any:
    def build() -> Any:
        transformer = AceStepTransformer1DModel(
            num_hidden_layers=2,
            in_channels=3 * CHANNELS,
            audio_acoustic_hidden_dim=CHANNELS,
            is_turbo=is_turbo,
            **SIZES,
        )
        tokenizer = _letters()
        text = Qwen3Config(vocab_size=len(tokenizer), num_hidden_layers=1, **SIZES)
        encoder = AceStepConditionEncoder(
            text_hidden_dim=WIDTH,
            timbre_hidden_dim=CHANNELS,
            num_lyric_encoder_hidden_layers=1,
            num_timbre_encoder_hidden_layers=1,
            **SIZES,
        )
        pipe = AceStepPipeline(
            vae=_oobleck(),
            text_encoder=Qwen3Model(text),
            tokenizer=tokenizer,
            transformer=transformer,
            condition_encoder=encoder,
            scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1),
        )
        return quiet(pipe)

    return seeded(build)


def _oobleck() -> AutoencoderOobleck:
    return AutoencoderOobleck(
        encoder_hidden_size=4,
        downsampling_ratios=[1, 2],
        channel_multiples=[1, 2],
        decoder_channels=2,
        decoder_input_channels=CHANNELS,
        sampling_rate=4,
    )


def _letters() -> PreTrainedTokenizerFast:
    vocabulary = {letter: i for i, letter in enumerate(["<pad>", *string.printable])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>")


def _turbo() -> Any:
    return _ace_step(is_turbo=True)


def ace_step_base() -> Any:
    return _ace_step(is_turbo=False)


def call_ace_step(steps: int) -> dict[str, Any]:
    return {
        "prompt": "a piano",
        "lyrics": "la",
        "audio_duration": 4.0,
        "max_text_length": 16,
        "num_inference_steps": steps,
        "output_type": "latent",
    }


CASES = (
    Case("StableAudio3Pipeline, base", _base, _call_stable_audio, STABLE_AUDIO),
    Case(
        "StableAudio3AudioToAudioPipeline, noise level 1",
        _from_sound,
        _call_from_sound,
        STABLE_AUDIO,
    ),
    Case("StableAudio3InpaintPipeline", _inpaint, _call_inpaint, STABLE_AUDIO),
    Case("AceStepPipeline, turbo", _turbo, call_ace_step, ACE_STEP),
    Case(
        "AceStepPipeline, base",
        ace_step_base,
        call_ace_step,
        ACE_STEP,
        remembers=True,
        note="the guidance's momentum sees the last refresh again at cached steps",
    ),
)
REFUSALS = (
    Refusal(
        "StableAudio3AudioToAudioPipeline, noise level 0.7",
        _from_sound,
        partial(_call_from_sound, level=0.7),
        STABLE_AUDIO,
        error="GridMismatchError",
        match="not strictly monotone",
        reason="its noise levels begin with the one asked for, and then rise above it",
    ),
    Refusal(
        "StableAudio3Pipeline, distilled",
        _distilled,
        _call_stable_audio,
        STABLE_AUDIO,
        error="UnsupportedSchedulerError",
        match="stochastic_sampling",
        reason="distilled to a few steps, each of which adds fresh noise",
    ),
)
