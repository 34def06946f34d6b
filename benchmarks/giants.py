"""Big models' pipelines at their real size with random weights, from no files.

Each has the released configuration of its transformer and sampler and takes embeddings in place of
prompts. ``tiny=True`` gives the same pipeline with a transformer that any CPU runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from torch import Tensor, nn

Draw = Callable[..., Tensor]
"""Sizes → a random tensor of the run's device and dtype."""


@dataclass(frozen=True)
class Giant:
    """A model as its hub repository configures it.

    Attributes:
        model: Hub id.
        pipeline: Class of the pipeline.
        transformer: Class of the transformer; its defaults are the released configuration.
        config: What the released ``transformer/config.json`` sets otherwise.
        tiny: What a tiny transformer sets otherwise.
        scheduler: The released ``scheduler/scheduler_config.json`` where it is not the default.
        size: Arguments of the call: what is generated. The pipeline's own defaults, or, for the
            video, those of the example in its documentation.
        tiny_size: The same for a tiny transformer.
        prompt: Draw, transformer's configuration and number of text tokens → the call's other
            arguments.
        tokens: Text tokens of a prompt, the pipeline's ``max_sequence_length``.
        branches: Transformer calls a step.
    """

    model: str
    pipeline: type
    transformer: type
    config: dict[str, Any]
    tiny: dict[str, Any]
    scheduler: dict[str, Any]
    size: dict[str, int]
    tiny_size: dict[str, int]
    prompt: Callable[[Draw, Any, int], dict[str, Any]]
    tokens: int
    branches: int

    def build(self, device: str, dtype: torch.dtype, *, tiny: bool = False) -> Any:
        """The pipeline on the device: no text encoder, no VAE, random weights."""
        sampler = FlowMatchEulerDiscreteScheduler(**self.scheduler)
        transformer = self.shell(tiny=tiny)
        _fill(transformer, device, dtype)
        absent = ["vae", "text_encoder", "tokenizer"]
        if self.pipeline is not QwenImagePipeline:
            absent += ["text_encoder_2", "tokenizer_2"]
        parts = dict.fromkeys(absent)
        pipe = self.pipeline(scheduler=sampler, transformer=transformer, **parts)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def shell(self, *, tiny: bool = False) -> nn.Module:
        """The transformer without memory for its weights."""
        with init_empty_weights():
            return self.transformer(**self.config | (self.tiny if tiny else {})).eval()

    def call(self, pipe: Any, *, tiny: bool = False) -> dict[str, Any]:
        """Keyword arguments of one run, all but the number of steps."""
        device, dtype = pipe.transformer.device, pipe.transformer.dtype
        generator = torch.Generator(device).manual_seed(0)

        def draw(*sizes: int) -> Tensor:
            return torch.randn(sizes, generator=generator, device=device, dtype=dtype)

        prompt = self.prompt(draw, pipe.transformer.config, 8 if tiny else self.tokens)
        size = self.tiny_size if tiny else self.size
        return {**prompt, **size, "generator": generator, "output_type": "latent"}


def _fill(module: nn.Module, device: str, dtype: torch.dtype) -> None:
    """Give a shell weights on the device, drawn there."""
    for child in module.modules():
        for name, shape in [(n, p.shape) for n, p in child.named_parameters(recurse=False)]:
            weight = torch.empty(shape, device=device, dtype=dtype).normal_(std=0.02)
            child.register_parameter(name, nn.Parameter(weight, requires_grad=False))
    module.to(device)


def _flux_prompt(draw: Draw, config: Any, tokens: int) -> dict[str, Any]:
    return {
        "prompt_embeds": draw(1, tokens, config.joint_attention_dim),
        "pooled_prompt_embeds": draw(1, config.pooled_projection_dim),
    }


def _qwen_image_prompt(draw: Draw, config: Any, tokens: int) -> dict[str, Any]:
    embeddings = [draw(1, tokens, config.joint_attention_dim) for _ in range(2)]
    mask = torch.ones(1, tokens, dtype=torch.int64, device=embeddings[0].device)
    return {
        "prompt_embeds": embeddings[0],
        "prompt_embeds_mask": mask,
        "negative_prompt_embeds": embeddings[1],
        "negative_prompt_embeds_mask": mask,
        "true_cfg_scale": 4.0,
    }


def _hunyuan_video_prompt(draw: Draw, config: Any, tokens: int) -> dict[str, Any]:
    embeddings = draw(1, tokens, config.text_embed_dim)
    return {
        "prompt_embeds": embeddings,
        "prompt_attention_mask": torch.ones(1, tokens, dtype=torch.bool, device=embeddings.device),
        "pooled_prompt_embeds": draw(1, config.pooled_projection_dim),
    }


FLUX = Giant(
    model="black-forest-labs/FLUX.1-dev",
    pipeline=FluxPipeline,
    transformer=FluxTransformer2DModel,
    config={"guidance_embeds": True},
    tiny={
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "pooled_projection_dim": 16,
        "axes_dims_rope": (2, 2, 4),
    },
    scheduler={"shift": 3.0, "use_dynamic_shifting": True},
    size={"height": 1024, "width": 1024},
    tiny_size={"height": 32, "width": 32},
    prompt=_flux_prompt,
    tokens=512,
    branches=1,
)
QWEN_IMAGE = Giant(
    model="Qwen/Qwen-Image",
    pipeline=QwenImagePipeline,
    transformer=QwenImageTransformer2DModel,
    config={},
    tiny={
        "in_channels": 16,
        "out_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "axes_dims_rope": (8, 4, 4),
    },
    scheduler={
        "use_dynamic_shifting": True,
        "max_shift": 0.9,
        "max_image_seq_len": 8192,
        "shift_terminal": 0.02,
    },
    size={"height": 1024, "width": 1024},
    tiny_size={"height": 32, "width": 32},
    prompt=_qwen_image_prompt,
    tokens=512,
    branches=2,
)
HUNYUAN_VIDEO = Giant(
    model="hunyuanvideo-community/HunyuanVideo",
    pipeline=HunyuanVideoPipeline,
    transformer=HunyuanVideoTransformer3DModel,
    config={},
    tiny={
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 1,
        "num_single_layers": 1,
        "num_refiner_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "text_embed_dim": 16,
        "pooled_projection_dim": 16,
        "rope_axes_dim": (2, 2, 4),
    },
    scheduler={"shift": 7.0},
    size={"height": 320, "width": 512, "num_frames": 61},
    tiny_size={"height": 32, "width": 32, "num_frames": 5},
    prompt=_hunyuan_video_prompt,
    tokens=256,
    branches=1,
)
GIANTS = {"flux": FLUX, "qwen-image": QWEN_IMAGE, "hunyuan-video": HUNYUAN_VIDEO}
