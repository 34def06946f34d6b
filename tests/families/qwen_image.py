"""Qwen-Image and its relatives, all with true classifier-free guidance: two calls a step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageControlNetInpaintPipeline,
    QwenImageControlNetModel,
    QwenImageControlNetPipeline,
    QwenImageEditInpaintPipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageImg2ImgPipeline,
    QwenImageInpaintPipeline,
)
from torch import Tensor

from tests.families.case import Case, seeded
from tests.families.later import (
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
    QwenImageLayeredPipeline,
)
from tests.families.pictures import awaken, mask, partway, picture, resized
from tests.families.text_to_image import quiet
from tests.tiny_families import WIDTH, qwen_image_options, tiny_qwen_image

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
        super().__init__(**TINY_VAE)
        self.temperal_downsample = [False] * 6

    def _encode(self, x: Tensor) -> Tensor:
        return super()._encode(x[..., :: self.stride, :: self.stride])


TINY_VAE: dict[str, Any] = {
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
    vae = vae or seeded(lambda: AutoencoderKLQwenImage(**TINY_VAE))
    return quiet(cls.from_pipe(tiny_qwen_image(), vae=vae, **components))


def _controlled(cls: type[Any], masks: int = 0) -> Any:
    """With a ControlNet that takes ``masks`` channels more than the latents'."""
    config = {**tiny_qwen_image().transformer.config, "extra_condition_channels": masks}
    controlnet = awaken(seeded(lambda: QwenImageControlNetModel.from_config(config)))
    return _built(cls, controlnet=controlnet)


def _layered() -> Any:
    qwen = tiny_qwen_image()
    transformer = resized(qwen.transformer, use_additional_t_cond=True, use_layer3d_rope=True)
    parts = {
        **qwen.components,
        "transformer": transformer,
        "vae": seeded(Thumbnails),
        "text_encoder": transformer,  # asked for its dtype, and for nothing else
        "processor": None,
    }
    return quiet(QwenImageLayeredPipeline(**parts))


class Templates:
    """Stands for the processor of the text, of which only the templates are asked."""

    tokenizer: Any = SimpleNamespace(encode=lambda _text: [0])

    def apply_chat_template(self, _messages: Any, **_options: Any) -> list[list[int]]:
        return [[0]]


def _qwen_21() -> Any:
    transformer = QwenImage21Transformer2DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        context_in_dim=WIDTH,
        axes_dims_rope=(8, 4, 4),
    )
    parts: dict[str, Any] = {"vae": None, "text_encoder": None, "processor": Templates()}
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return quiet(QwenImage21Pipeline(transformer=transformer, scheduler=scheduler, **parts))


def _call(steps: int, **more: Any) -> dict[str, Any]:
    options = qwen_image_options(steps)
    del options["generator"]
    return {**options, **more}


def _layers(steps: int) -> dict[str, Any]:
    options = _call(steps, prompt="a cat", image=picture(), layers=2, output_type="pt")
    return {k: v for k, v in options.items() if k not in ("height", "width")}


_QWEN = Case("QwenImagePipeline", tiny_qwen_image, _call, "Qwen-Image", branches=2)
_EDIT: dict[str, Any] = {"height": EDITED, "width": EDITED}

_FROM_PICTURE = _QWEN.variant(
    name="QwenImageImg2ImgPipeline",
    build=lambda: _built(QwenImageImg2ImgPipeline),
    call=lambda steps: _call(steps, image=picture(), strength=1.0),
)

CASES = (
    _QWEN,
    _FROM_PICTURE,
    partway(_FROM_PICTURE),
    _QWEN.variant(
        name="QwenImageInpaintPipeline",
        build=lambda: _built(QwenImageInpaintPipeline),
        call=lambda steps: _call(steps, image=picture(), mask_image=mask(), strength=1.0),
    ),
    _QWEN.variant(
        name="QwenImageControlNetPipeline",
        build=lambda: _controlled(QwenImageControlNetPipeline),
        call=lambda steps: _call(steps, control_image=picture()),
        family="Qwen-Image with ControlNet",
    ),
    _QWEN.variant(
        name="QwenImageControlNetInpaintPipeline",
        build=lambda: _controlled(QwenImageControlNetInpaintPipeline, masks=CHANNELS),
        call=lambda steps: _call(steps, control_image=picture(), control_mask=mask()),
        family="Qwen-Image with ControlNet",
        note="diffusers encodes the picture with torch's global generator, not with the given one",
    ),
    _QWEN.variant(
        name="QwenImageEditPipeline",
        build=lambda: _edited(QwenImageEditPipeline),
        call=lambda steps: _call(steps, image=picture(), **_EDIT),
        family="Qwen-Image-Edit",
    ),
    _QWEN.variant(
        name="QwenImageEditInpaintPipeline",
        build=lambda: _edited(QwenImageEditInpaintPipeline),
        call=lambda steps: _call(steps, image=picture(), mask_image=mask(), strength=1.0, **_EDIT),
        family="Qwen-Image-Edit",
    ),
    _QWEN.variant(
        name="QwenImageEditPlusPipeline",
        build=lambda: _edited(QwenImageEditPlusPipeline),
        call=lambda steps: _call(steps, image=[picture(), picture(16)], **_EDIT),
        family="Qwen-Image-Edit-2509",
    ),
    _QWEN.variant(
        name="QwenImage21Pipeline",
        build=lambda: seeded(_qwen_21),
        call=lambda steps: _call(steps, height=64, width=64),
        family="Qwen-Image-2.1",
        note="the keys of the text are kept from the first step on, which always is a knot",
    ).brief(),
    _QWEN.variant(
        name="QwenImage21Pipeline, use_kv_cache=False",
        build=lambda: seeded(_qwen_21),
        call=lambda steps: _call(steps, height=64, width=64, use_kv_cache=False),
        family="Qwen-Image-2.1",
    ).brief(),
    _QWEN.variant(
        name="QwenImageLayeredPipeline",
        build=_layered,
        call=_layers,
        family="Qwen-Image-Layered",
    ),
)
REFUSALS = ()
