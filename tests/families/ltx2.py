"""LTX-2: velocities of a video and of its sound in one step, guidance in three calls."""

from __future__ import annotations

from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler

from tests.families import later
from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    LTX2ConditionPipeline,
    LTX2ImageToVideoPipeline,
    LTX2InContextPipeline,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from tests.families.ltx import SHIFT
from tests.families.pictures import picture
from tests.families.text_to_image import SIDE, WIDTH, masks, prompts, quiet, size

LTX2TextConnectors = later.of("diffusers.pipelines.ltx2", "LTX2TextConnectors")
LTX2VideoCondition = later.of("diffusers.pipelines.ltx2", "LTX2VideoCondition")
LTX2ReferenceCondition = later.of("diffusers.pipelines.ltx2", "LTX2ReferenceCondition")

FAMILY = "LTX-2"
COMPRESSED = "0.40"
"""The release from which a picture is compressed first, or not, as is asked here."""


def tiny_ltx2(cls: type[Any], transformer: Any = None, scheduler: Any = None, **more: Any) -> Any:
    """A pipeline of these two parts, or of the commonest."""
    return quiet(
        cls(
            transformer=transformer or tiny_transformer(),
            connectors=_connectors(),
            scheduler=scheduler or FlowMatchEulerDiscreteScheduler(**SHIFT),
            vae=tiny_ltx2_vae(),
            audio_vae=_audio_vae(),
            text_encoder=None,
            tokenizer=None,
            vocoder=None,
            **more,
        )
    )


def tiny_transformer(**options: Any) -> LTX2VideoTransformer3DModel:
    return LTX2VideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=2,
        caption_channels=WIDTH,
        rope_double_precision=False,
        rope_type="split",
        perturbed_attn=True,  # to guide by skipped attention
        **options,
    )


def _connectors() -> LTX2TextConnectors:
    one: dict[str, Any] = {
        "connector_num_attention_heads": 2,
        "connector_attention_head_dim": WIDTH // 2,
        "connector_num_layers": 1,
        "connector_num_learnable_registers": None,
    }
    both = {f"{kind}_{name}": value for kind in ("video", "audio") for name, value in one.items()}
    return LTX2TextConnectors(
        caption_channels=WIDTH,
        text_proj_in_factor=1,
        connector_rope_base_seq_len=32,
        rope_double_precision=False,
        rope_type="split",
        **both,
    )


def tiny_ltx2_vae() -> AutoencoderKLLTX2Video:
    return AutoencoderKLLTX2Video(
        latent_channels=4,
        block_out_channels=(8,),
        decoder_block_out_channels=(8,),
        layers_per_block=(1,),
        decoder_layers_per_block=(1, 1),
        spatio_temporal_scaling=(True,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False),
        downsample_type=("spatiotemporal",),
        upsample_residual=(False,),
        upsample_factor=(1,),
        patch_size=4,
    )


def _audio_vae() -> AutoencoderKLLTX2Audio:
    return AutoencoderKLLTX2Audio(
        base_channels=4,
        ch_mult=(1,),
        num_res_blocks=1,
        resolution=32,
        latent_channels=2,
        mel_bins=8,
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "spatio_temporal_guidance_blocks": [1],
        "stg_scale": 1.0,
        "modality_scale": 3.0,
        "num_frames": 5,
        **size(steps),
    }


def _call_conditions(steps: int) -> dict[str, Any]:
    first = LTX2VideoCondition(picture(SIDE), index=0, strength=1.0, crf=0)
    return {**_call(steps), "conditions": [first]}


def _call_reference(steps: int) -> dict[str, Any]:
    return {**_call(steps), "reference_conditions": [LTX2ReferenceCondition([picture(SIDE)] * 5)]}


def _two_schedulers() -> Any:
    own = FlowMatchEulerDiscreteScheduler(**SHIFT)
    return tiny_ltx2(LTX2ConditionPipeline, audio_scheduler=own)


CASES = (
    Case(
        "LTX2Pipeline",
        lambda: seeded(lambda: tiny_ltx2(LTX2Pipeline)),
        _call,
        FAMILY,
        branches=3,
        since="0.38",
        note="the sound follows the same plan as the video",
    ),
    Case(
        "LTX2ImageToVideoPipeline",
        lambda: seeded(lambda: tiny_ltx2(LTX2ImageToVideoPipeline)),
        lambda steps: {**_call(steps), "image": picture(SIDE), "image_crf": 0},
        FAMILY,
        branches=3,
        since=COMPRESSED,
        note="the first frame is given, and the schedule moves the others",
    ),
    Case(
        "LTX2ConditionPipeline",
        lambda: seeded(lambda: tiny_ltx2(LTX2ConditionPipeline)),
        _call_conditions,
        FAMILY,
        branches=3,
        since=COMPRESSED,
        note="the frames that are given stay as they are",
    ).brief(),
    Case(
        "LTX2InContextPipeline",
        lambda: seeded(lambda: tiny_ltx2(LTX2InContextPipeline)),
        _call_reference,
        FAMILY,
        branches=3,
    ).brief(),
)
REFUSALS = (
    Refusal(
        "LTX2ConditionPipeline, a scheduler of the sound's own",
        lambda: seeded(_two_schedulers),
        _call_conditions,
        FAMILY,
        error="UnsupportedPipelineError",
        match=r"pipe\.audio_scheduler too",
        reason="it would not follow the schedule; `pipe.audio_scheduler = None` has it work",
        steps=4,
        since=COMPRESSED,
    ),
)
