"""Z-Image: both branches of the guidance in one batch, velocities of the other sign."""

from __future__ import annotations

from typing import Any

from diffusers import ZImageImg2ImgPipeline

from tests.families.case import Case, seeded
from tests.families.later import (
    ZImageControlNetInpaintPipeline,
    ZImageControlNetModel,
    ZImageControlNetPipeline,
    ZImageInpaintPipeline,
    ZImageOmniPipeline,
)
from tests.families.pictures import awaken, mask, partway, picture
from tests.families.text_to_image import quiet, tiny_vae
from tests.tiny_families import tiny_z_image, z_image_options

CHANNELS = 16
"""Of the latents."""


def _built(cls: type[Any], **components: Any) -> Any:
    """The tiny Z-Image as another pipeline."""
    vae = seeded(lambda: tiny_vae(CHANNELS))
    return quiet(cls.from_pipe(tiny_z_image(), vae=vae, **components))


def _controlled(cls: type[Any], channels: int = CHANNELS) -> Any:
    """With a ControlNet that takes latents of the picture, and more where something is to fill."""
    controlnet = seeded(
        lambda: ZImageControlNetModel(
            control_layers_places=[0],
            control_refiner_layers_places=[0],
            control_in_dim=channels,
            dim=32,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
        )
    )
    return _built(cls, controlnet=awaken(controlnet))


def _call(steps: int, **more: Any) -> dict[str, Any]:
    options = z_image_options(steps)
    del options["generator"]
    return {**options, **more}


def _call_omni(steps: int) -> dict[str, Any]:
    """Embeddings in parts, between which pictures would stand."""
    options = _call(steps)
    for name in ("prompt_embeds", "negative_prompt_embeds"):
        options[name] = [[part] for part in options[name]]
    return options


_Z_IMAGE = Case("ZImagePipeline", tiny_z_image, _call, "Z-Image")

_FROM_PICTURE = _Z_IMAGE.variant(
    name="ZImageImg2ImgPipeline",
    build=lambda: _built(ZImageImg2ImgPipeline),
    call=lambda steps: _call(steps, image=picture(), strength=1.0),
)

CASES = (
    _Z_IMAGE,
    _Z_IMAGE.variant(
        name="ZImagePipeline, without guidance",
        call=lambda steps: _call(steps, guidance_scale=0.0),
        family="Z-Image-Turbo",
    ),
    _Z_IMAGE.variant(
        name="ZImagePipeline, guidance of the first steps only",
        call=lambda steps: _call(steps, cfg_truncation=0.4),
        note="steps between a guided refresh and the next one are guided",
    ),
    _FROM_PICTURE,
    partway(_FROM_PICTURE),
    _Z_IMAGE.variant(
        name="ZImageInpaintPipeline",
        build=lambda: _built(ZImageInpaintPipeline),
        call=lambda steps: _call(steps, image=picture(), mask_image=mask(), strength=1.0),
    ),
    _Z_IMAGE.variant(
        name="ZImageControlNetPipeline",
        build=lambda: _controlled(ZImageControlNetPipeline),
        call=lambda steps: _call(steps, control_image=picture()),
        family="Z-Image with ControlNet",
    ),
    _Z_IMAGE.variant(
        name="ZImageControlNetInpaintPipeline",
        build=lambda: _controlled(ZImageControlNetInpaintPipeline, 2 * CHANNELS + 1),
        call=lambda steps: _call(
            steps, image=picture(), mask_image=mask(), control_image=picture()
        ),
        family="Z-Image with ControlNet",
    ),
    _Z_IMAGE.variant(
        name="ZImageOmniPipeline, text only",
        build=lambda: _built(ZImageOmniPipeline, siglip=None, siglip_processor=None),
        call=_call_omni,
        family="Z-Image-Omni",
    ).brief(),
)
REFUSALS = ()
