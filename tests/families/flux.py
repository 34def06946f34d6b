"""FLUX.1 and its relatives: pictures and masks to start from, to fill, or to be guided by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from diffusers import (
    FluxControlImg2ImgPipeline,
    FluxControlInpaintPipeline,
    FluxControlNetImg2ImgPipeline,
    FluxControlNetInpaintPipeline,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextInpaintPipeline,
    FluxKontextPipeline,
)

from tests.families.case import Case, seeded
from tests.families.pictures import awaken, mask, partway, picture, resized
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


def _controlled(cls: type[Any]) -> Any:
    return _built(cls, controlnet=_controlnet())


def _case(
    cls: type[Any], build: Callable[[type[Any]], Any] = _built, family: str = "FLUX.1", **more: Any
) -> Case:
    return Case(cls.__name__, lambda: build(cls), lambda steps: _call(steps, **more), family)


_IMAGE: dict[str, Any] = {"image": picture(SIDE), "strength": 1.0}
_MASKED: dict[str, Any] = {**_IMAGE, "mask_image": mask(SIDE)}
_CONTROL: dict[str, Any] = {"control_image": picture(SIDE)}

_VARIANTS = (
    _case(FluxImg2ImgPipeline, **_IMAGE),
    _case(FluxInpaintPipeline, **_MASKED),
    _case(FluxFillPipeline, partial(_built, channels=2 * LATENT + MASK), "FLUX.1 Fill", **_MASKED),
)

_DEPTH = tuple(
    _case(cls, partial(_built, channels=2 * LATENT), "FLUX.1 Depth, Canny", **_CONTROL, **more)
    for cls, more in (
        (FluxControlPipeline, {}),
        (FluxControlImg2ImgPipeline, _IMAGE),
        (FluxControlInpaintPipeline, _MASKED),
    )
)

_CONTROLNET = tuple(
    _case(cls, _controlled, "FLUX.1 with ControlNet", **_CONTROL, **more)
    for cls, more in (
        (FluxControlNetPipeline, {}),
        (FluxControlNetImg2ImgPipeline, _IMAGE),
        (FluxControlNetInpaintPipeline, _MASKED),
    )
)

_KONTEXT = tuple(
    _case(cls, _built, "FLUX.1 Kontext", max_area=SIDE * SIDE, _auto_resize=False, **more)
    for cls, more in (
        (FluxKontextPipeline, {"image": picture(SIDE)}),
        (FluxKontextInpaintPipeline, _MASKED),
    )
)

_FLUX = Case("FluxPipeline", tiny_flux, _call, "FLUX.1")

CASES = (
    _FLUX,
    _FLUX.variant(
        name="FluxPipeline, true CFG",
        call=lambda steps: _call(steps, negative_prompt="a dog", true_cfg_scale=3.0),
        branches=2,
    ),
    *_VARIANTS,
    *map(partway, _VARIANTS),
    *_DEPTH,
    *_CONTROLNET,
    *_KONTEXT,
)
REFUSALS = ()
