"""Qwen-Image and its relatives, all with true classifier-free guidance: two calls a step."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLQwenImage,
    QwenImageControlNetModel,
    QwenImageControlNetPipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageImg2ImgPipeline,
)
from torch import Tensor

from tests.families.case import Case, seeded
from tests.families.pictures import awaken, picture
from tests.families.text_to_image import quiet
from tests.tiny_families import qwen_image_options, tiny_qwen_image

EDITED = 256
"""Height and width of edited pictures, in pixels: 2 × 2 image tokens."""

CHANNELS = 4
"""Of the VAE's latents."""


class Thumbnails(AutoencoderKLQwenImage):
    """Encodes every 16th pixel of a row and of a column.

    Edit pipelines enlarge what they are given to 1024 × 1024; here that makes 8 × 8 image tokens.
    """

    stride = 16

    def __init__(self) -> None:
        super().__init__(**_VAE)
        self.temperal_downsample = [False] * 6

    def _encode(self, x: Tensor) -> Tensor:
        return super()._encode(x[..., :: self.stride, :: self.stride])


_VAE: dict[str, Any] = {
    "base_dim": 2,
    "z_dim": CHANNELS,
    "dim_mult": [1, 1, 1],
    "num_res_blocks": 1,
    "temperal_downsample": [False, False],
    "latents_mean": [0.1] * CHANNELS,
    "latents_std": [0.9] * CHANNELS,
}


def _edited(cls: type[Any]) -> Any:
    return _built(cls, seeded(Thumbnails), processor=None)


def _built(cls: type[Any], vae: AutoencoderKLQwenImage | None = None, **components: Any) -> Any:
    """The tiny Qwen-Image as another pipeline."""
    vae = vae or seeded(lambda: AutoencoderKLQwenImage(**_VAE))
    return quiet(cls.from_pipe(tiny_qwen_image(), vae=vae, **components))


def _controlled() -> Any:
    config = dict(tiny_qwen_image().transformer.config)
    controlnet = awaken(seeded(lambda: QwenImageControlNetModel.from_config(config)))
    return _built(QwenImageControlNetPipeline, controlnet=controlnet)


def _call(steps: int, **more: Any) -> dict[str, Any]:
    options = qwen_image_options(steps)
    del options["generator"]
    return {**options, **more}


_QWEN = Case("QwenImagePipeline", tiny_qwen_image, _call, "Qwen-Image", branches=2)
_EDIT: dict[str, Any] = {"height": EDITED, "width": EDITED}

CASES = (
    _QWEN,
    _QWEN.variant(
        name="QwenImageImg2ImgPipeline",
        build=lambda: _built(QwenImageImg2ImgPipeline),
        call=lambda steps: _call(steps, image=picture(), strength=1.0),
    ),
    _QWEN.variant(
        name="QwenImageControlNetPipeline",
        build=_controlled,
        call=lambda steps: _call(steps, control_image=picture()),
        family="Qwen-Image with ControlNet",
    ),
    _QWEN.variant(
        name="QwenImageEditPipeline",
        build=lambda: _edited(QwenImageEditPipeline),
        call=lambda steps: _call(steps, image=picture(), **_EDIT),
        family="Qwen-Image-Edit",
    ),
    _QWEN.variant(
        name="QwenImageEditPlusPipeline",
        build=lambda: _edited(QwenImageEditPlusPipeline),
        call=lambda steps: _call(steps, image=[picture(), picture(16)], **_EDIT),
        family="Qwen-Image-Edit-2509",
    ),
)
REFUSALS = ()
