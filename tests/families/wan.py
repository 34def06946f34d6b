"""Wan 2.1 and 2.2: guidance in two calls; UniPC by default; in 2.2 a second denoiser, from t on."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
    WanVideoToVideoPipeline,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from tests.families.case import Case, Refusal, seeded
from tests.families.pictures import picture
from tests.families.text_to_image import SIDE, WIDTH, prompts, quiet, size

CHANNELS = 4
"""Of the latents."""

SEEING = 2 * CHANNELS + 4
"""Channels that image-to-video denoisers take: latents, the picture's, and a mask of frames."""

SEEN: dict[str, Any] = {"image_dim": WIDTH, "added_kv_proj_dim": 24}
"""Of denoisers that read what :func:`tiny_eyes` see."""

BOUNDARY = 0.875
"""Share of the noise above which Wan 2.2 calls its first denoiser."""

UNIPC = "UniPCMultistepScheduler"


def tiny_wan_vae(channels: int = CHANNELS, **options: int) -> AutoencoderKLWan:
    """An autoencoder with an eighth of a video's side and a quarter of its frames."""
    return AutoencoderKLWan(
        base_dim=3,
        z_dim=channels,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1] * channels,
        latents_std=[1.5] * channels,
        **options,
    )


SIZES: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "out_channels": CHANNELS,
    "text_dim": WIDTH,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}


def tiny_wan_transformer(channels: int = CHANNELS, **options: Any) -> WanTransformer3DModel:
    return WanTransformer3DModel(in_channels=channels, **SIZES, **options)


def _euler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def wan_unipc() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )


def _pipeline(cls: type[Any], scheduler: Any, **components: Any) -> Any:
    return quiet(cls(scheduler=scheduler, text_encoder=None, tokenizer=None, **components))


def _text_to_video(scheduler: Any, *, denoisers: int = 1, **options: Any) -> WanPipeline:
    first, second = tiny_wan_transformer(), tiny_wan_transformer() if denoisers == 2 else None
    return _pipeline(
        WanPipeline, scheduler, transformer=first, transformer_2=second, vae=None, **options
    )


def _image_to_video(scheduler: Any, **options: Any) -> WanImageToVideoPipeline:
    eyes = {"image_encoder": None, "image_processor": None}
    return _pipeline(WanImageToVideoPipeline, scheduler, vae=tiny_wan_vae(), **{**eyes, **options})


def _video_to_video() -> WanVideoToVideoPipeline:
    return _pipeline(
        WanVideoToVideoPipeline, _euler(), transformer=tiny_wan_transformer(), vae=tiny_wan_vae()
    )


def _controlled() -> WanVACEPipeline:
    transformer = WanVACETransformer3DModel(
        in_channels=CHANNELS, vace_layers=[0, 1], vace_in_channels=2 * CHANNELS + 64, **SIZES
    )
    return _pipeline(WanVACEPipeline, _euler(), transformer=transformer, vae=tiny_wan_vae())


def tiny_eyes() -> dict[str, Any]:
    """What image-to-video pipelines see pictures with, as components."""
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=16,
    )
    processor = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return {"image_encoder": CLIPVisionModel(vision), "image_processor": processor}


def _image_to_video_21() -> WanImageToVideoPipeline:
    return _image_to_video(
        _euler(), transformer=tiny_wan_transformer(SEEING, **SEEN), **tiny_eyes()
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        "guidance_scale": 5.0,
        "num_frames": 9,
        **size(steps),
    }


def _call_22(steps: int) -> dict[str, Any]:
    return {**_call(steps), "guidance_scale": 4.0, "guidance_scale_2": 3.0}


def _call_with_image(steps: int) -> dict[str, Any]:
    return {**_call(steps), "image": picture(SIDE)}


def _call_with_video(steps: int) -> dict[str, Any]:
    options = {**_call(steps), "video": [picture(SIDE)] * 9, "strength": 1.0}
    del options["num_frames"]
    return options


_EULER = Case(
    "WanPipeline, Euler",
    lambda: seeded(lambda: _text_to_video(_euler())),
    _call,
    "Wan 2.1",
    branches=2,
)
_UNIPC = _EULER.variant(
    name="WanPipeline, UniPC",
    build=lambda: seeded(lambda: _text_to_video(wan_unipc())),
    sampler=UNIPC,
)

CASES = (
    _EULER,
    Case(
        "WanImageToVideoPipeline",
        lambda: seeded(_image_to_video_21),
        _call_with_image,
        "Wan 2.1",
        branches=2,
    ),
    Case(
        "WanVideoToVideoPipeline, strength 1",
        lambda: seeded(_video_to_video),
        _call_with_video,
        "Wan 2.1",
        branches=2,
    ),
    Case(
        "WanVACEPipeline",
        lambda: seeded(_controlled),
        lambda steps: {**_call(steps), "reference_images": [picture(SIDE)]},
        "Wan 2.1 VACE",
        branches=2,
    ),
    _EULER.variant(
        name="WanPipeline, a timestep for each token",
        build=lambda: seeded(lambda: _text_to_video(_euler(), expand_timesteps=True)),
        family="Wan 2.2, 5B",
    ),
    _UNIPC,
    _UNIPC.variant(
        name="WanPipeline, two denoisers, UniPC",
        build=lambda: seeded(
            lambda: _text_to_video(wan_unipc(), denoisers=2, boundary_ratio=BOUNDARY)
        ),
        call=_call_22,
        family="Wan 2.2",
    ),
    _EULER.variant(
        name="WanPipeline, two denoisers, Euler",
        build=lambda: seeded(
            lambda: _text_to_video(_euler(), denoisers=2, boundary_ratio=BOUNDARY)
        ),
        call=_call_22,
        family="Wan 2.2",
    ),
    Case(
        "WanImageToVideoPipeline, two denoisers, UniPC",
        lambda: seeded(
            lambda: _image_to_video(
                wan_unipc(),
                transformer=tiny_wan_transformer(SEEING),
                transformer_2=tiny_wan_transformer(SEEING),
                boundary_ratio=BOUNDARY,
            )
        ),
        _call_with_image,
        "Wan 2.2",
        branches=2,
        sampler=UNIPC,
    ),
    Case(
        "WanImageToVideoPipeline, a timestep for each token",
        lambda: seeded(
            lambda: _image_to_video(
                wan_unipc(), transformer=tiny_wan_transformer(), expand_timesteps=True
            )
        ),
        _call_with_image,
        "Wan 2.2, 5B",
        branches=2,
        sampler=UNIPC,
    ),
)
REFUSALS: tuple[Refusal, ...] = ()
