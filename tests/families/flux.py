"""FLUX.1 and its relatives: pictures and masks to start from, to fill, or to be guided by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffusers import (
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxKontextPipeline,
)

from tests.families.case import Case, seeded
from tests.families.pictures import awaken, mask, picture, resized
from tests.tiny import SIDE, call_options, tiny_flux

LATENT = 16
"""Channels of its packed latents: 4 of the VAE's in each of 2 × 2 places."""

MASK = 64
"""Channels of the packed mask: 4 × 4 pixels in each of 2 × 2 places."""


def _call(steps: int, **more: Any) -> dict[str, Any]:
    options = call_options(steps)
    del options["generator"]
    return {"prompt": "a cat", **options, **more}


def _built(cls: type[Any], channels: int = LATENT, **components: Any) -> Any:
    """The tiny FLUX as another pipeline, with a denoiser that takes more channels than latents."""
    flux = tiny_flux(guidance_embeds=True)
    if channels != LATENT:
        components["transformer"] = resized(
            flux.transformer, in_channels=channels, out_channels=LATENT
        )
    pipe = cls.from_pipe(flux, **components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _controlnet() -> FluxControlNetModel:
    config = dict(tiny_flux(guidance_embeds=True).transformer.config)
    del config["out_channels"]
    return awaken(seeded(lambda: FluxControlNetModel.from_config(config)))


def _case(
    cls: type[Any], family: str, build: Callable[[], Any] | None = None, **options: Any
) -> Case:
    return Case(
        cls.__name__,
        build or (lambda: _built(cls)),
        lambda steps: _call(steps, **options),
        family,
    )


CASES = (
    Case("FluxPipeline", tiny_flux, _call, "FLUX.1"),
    Case(
        "FluxPipeline, true CFG",
        tiny_flux,
        lambda steps: _call(steps, negative_prompt="a dog", true_cfg_scale=3.0),
        "FLUX.1",
        branches=2,
    ),
    _case(FluxImg2ImgPipeline, "FLUX.1", image=picture(SIDE), strength=1.0),
    _case(
        FluxFillPipeline,
        "FLUX.1 Fill",
        lambda: _built(FluxFillPipeline, LATENT + LATENT + MASK),
        image=picture(SIDE),
        mask_image=mask(SIDE),
    ),
    _case(
        FluxControlPipeline,
        "FLUX.1 Depth, Canny",
        lambda: _built(FluxControlPipeline, 2 * LATENT),
        control_image=picture(SIDE),
    ),
    _case(
        FluxKontextPipeline,
        "FLUX.1 Kontext",
        image=picture(SIDE),
        max_area=SIDE * SIDE,
        _auto_resize=False,
    ),
    _case(
        FluxControlNetPipeline,
        "FLUX.1 with ControlNet",
        lambda: _built(FluxControlNetPipeline, controlnet=_controlnet()),
        control_image=picture(SIDE),
    ),
)
REFUSALS = ()
