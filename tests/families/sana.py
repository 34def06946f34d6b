"""Sana: by default DPM-Solver++ along a flow; Sana-Sprint is distilled to a stochastic sampler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diffusers import (
    AutoencoderDC,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    SanaControlNetModel,
    SanaControlNetPipeline,
    SanaImageToVideoPipeline,
    SanaPAGPipeline,
    SanaPipeline,
    SanaSprintImg2ImgPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SanaVideoPipeline,
    SanaVideoTransformer3DModel,
    SCMScheduler,
)

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import awaken, picture
from tests.families.text_to_image import SIDE, WIDTH, masks, prompts, quiet, size
from tests.families.wan import CHANNELS, tiny_wan_vae

FAMILY = "Sana"


SIZES: dict[str, Any] = {
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "num_layers": 1,
    "num_attention_heads": 2,
    "num_cross_attention_heads": 2,
    "caption_channels": WIDTH,
}


PICTURE: dict[str, Any] = {
    "attention_head_dim": 8,
    "cross_attention_head_dim": 8,
    "cross_attention_dim": 16,
    "sample_size": 4,
    **SIZES,
}


def _pipeline(
    cls: type, scheduler: Any, parts: dict[str, Any] | None = None, **options: Any
) -> Any:
    def build() -> Any:
        return quiet(
            cls(
                tokenizer=None,
                text_encoder=None,
                transformer=SanaTransformer2DModel(**PICTURE, **options),
                scheduler=scheduler,
                **(parts or {"vae": None}),
            )
        )

    return seeded(build)


def _vae() -> AutoencoderDC:
    return AutoencoderDC(
        latent_channels=CHANNELS,
        attention_head_dim=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(4, 4, 4, 4),
        decoder_block_out_channels=(4, 4, 4, 4),
        encoder_layers_per_block=(1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        encoder_qkv_multiscales=((), (), (), ()),
        decoder_qkv_multiscales=((), (), (), ()),
    )


def _video(cls: type) -> Any:
    def build() -> Any:
        transformer = SanaVideoTransformer3DModel(
            attention_head_dim=12,
            cross_attention_head_dim=12,
            cross_attention_dim=24,
            **SIZES,
        )
        pipe = cls(
            tokenizer=None,
            text_encoder=None,
            vae=tiny_wan_vae(),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )
        return quiet(pipe)

    return seeded(build)


def _euler() -> Any:
    return _pipeline(SanaPipeline, FlowMatchEulerDiscreteScheduler(shift=3.0))


def _dpm() -> Any:
    """As the published Sana is configured: DPM-Solver++ of order 2."""
    return _pipeline(
        SanaPipeline,
        DPMSolverMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
        ),
    )


def _perturbed() -> Any:
    return _pipeline(SanaPAGPipeline, FlowMatchEulerDiscreteScheduler(shift=3.0))


def _controlnet() -> Any:
    controlnet = seeded(lambda: awaken(SanaControlNetModel(**PICTURE)))
    parts = {"vae": seeded(_vae), "controlnet": controlnet}
    return _pipeline(SanaControlNetPipeline, FlowMatchEulerDiscreteScheduler(shift=3.0), parts)


def _sprint() -> Any:
    return _pipeline(SanaSprintPipeline, SCMScheduler(), guidance_embeds=True)


def _sprint_from_image() -> Any:
    parts = {"vae": seeded(_vae)}
    return _pipeline(SanaSprintImg2ImgPipeline, SCMScheduler(), parts, guidance_embeds=True)


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        **masks("prompt_attention_mask", "negative_prompt_attention_mask"),
        "negative_prompt": None,
        "guidance_scale": 4.5,
        "use_resolution_binning": False,
        **size(steps),
    }


def _call_video(steps: int, **more: Any) -> dict[str, Any]:
    return {**_call(steps), "frames": 5, **more}


def _call_perturbed(steps: int) -> dict[str, Any]:
    return {**_call(steps), "pag_scale": 2.0}


def _call_controlnet(steps: int) -> dict[str, Any]:
    return {**_call(steps), "control_image": picture(SIDE)}


def _call_sprint(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds"),
        **masks("prompt_attention_mask"),
        "intermediate_timesteps": None,
        "use_resolution_binning": False,
        **size(steps),
    }


CASES = (
    Case("SanaPipeline", _dpm, _call, FAMILY, sampler="DPMSolverMultistepScheduler"),
    Case("SanaPipeline, Euler", _euler, _call, FAMILY),
    Case("SanaPAGPipeline", _perturbed, _call_perturbed, FAMILY).brief(),
    Case("SanaControlNetPipeline", _controlnet, _call_controlnet, FAMILY).brief(),
    Case(
        "SanaVideoPipeline, Euler",
        lambda: _video(SanaVideoPipeline),
        _call_video,
        "Sana Video",
    ).brief(),
    Case(
        "SanaImageToVideoPipeline",
        lambda: _video(SanaImageToVideoPipeline),
        lambda steps: _call_video(steps, image=picture(SIDE)),
        "Sana Video",
        note="the first frame is given, and the schedule moves the others",
    ).brief(),
)
_SPRINT = Refusal(
    "SanaSprintPipeline",
    _sprint,
    _call_sprint,
    FAMILY,
    error="UnsupportedSchedulerError",
    match="SCMScheduler",
    reason="distilled to a few steps, each of which adds fresh noise",
)
REFUSALS = (
    _SPRINT,
    replace(
        _SPRINT,
        name="SanaSprintImg2ImgPipeline",
        build=_sprint_from_image,
        call=lambda steps: {**_call_sprint(steps), "image": picture(SIDE)},
    ),
)
