"""diffusers' modular pipelines, whose scheduler is the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.modular_pipelines import FluxAutoBlocks, QwenImageAutoBlocks
from torch import Tensor

from meancache_runtime import MeanCacheScheduler
from meancache_runtime.schedule import Schedule
from tests.hosts.host import Host, Latents, Model, Run
from tests.tiny import call_options, tiny_flux
from tests.tiny_families import qwen_image_options, tiny_qwen_image


def packed(latents: Tensor) -> Tensor:
    """What the pipelines end with, as their transformers have it: B × tokens × channels."""
    pictures = latents.flatten(1, -3)
    return FluxPipeline._pack_latents(pictures, *pictures.shape)


def modular_flux(pipe: Any) -> Any:
    """The modular pipeline of a FluxPipeline's components, up to its latents."""
    return modular(FluxAutoBlocks(), pipe)


def modular_qwen_image(pipe: Any) -> Any:
    """The same of a QwenImagePipeline; it takes embedded prompts."""
    return modular(QwenImageAutoBlocks(), pipe, "text_encoder")


def modular(blocks: Any, pipe: Any, *without: str) -> Any:
    """The modular pipeline of these blocks, up to its latents, of an ordinary one's components."""
    for name in (*without, "decode"):
        blocks.sub_blocks.pop(name)
    made = blocks.init_pipeline()
    _quieten(blocks)
    components = {name: part for name, part in pipe.components.items() if part is not None}
    made.update_components(**{n: c for n, c in components.items() if n in made.component_names})
    return made


def _quieten(block: Any) -> None:
    for part in getattr(block, "sub_blocks", {}).values():
        _quieten(part)
    if hasattr(block, "set_progress_bar_config"):
        block.set_progress_bar_config(disable=True)


def _follow(pipe: Any, call: dict[str, Any], schedule: Schedule, budget: int, model: Model) -> Run:
    plain = FlowMatchEulerDiscreteScheduler()
    pipe.scheduler = MeanCacheScheduler.from_schedule(plain, schedule, budget=budget)

    def forward(hidden_states: Any, timestep: Any, **_: Any) -> tuple[Any]:
        return (model(hidden_states, float(timestep[0])),)

    def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
        steps = {"num_inference_steps": len(sigmas) - 1, "sigmas": list(sigmas[:-1])}
        latents = torch.from_numpy(noise).float().reshape(2, 16, 16)
        found = pipe(output="latents", latents=latents, **call | steps)
        return packed(found).reshape(-1).numpy().astype(np.float64)

    pipe.transformer.forward = forward
    return run


def _flux(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    call = call_options() | {"prompt": ["a cat", "an owl"]}
    del call["output_type"]
    return _follow(modular_flux(tiny_flux()), call, schedule, budget, model)


def _qwen_image(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    call = qwen_image_options(0) | {"height": 64, "width": 64}
    for name in [name for name in call if "embeds" in name]:
        call[name] = call[name].repeat_interleave(2, 0)
    del call["output_type"], call["true_cfg_scale"]
    return _follow(modular_qwen_image(tiny_qwen_image()), call, schedule, budget, model)


HOSTS = (
    Host(
        "diffusers, modular Flux",
        "`FluxModularPipeline` whose scheduler is `MeanCacheScheduler`",
        _flux,
        ("diffusers", "torch"),
    ),
    Host(
        "diffusers, modular Qwen-Image",
        "`QwenImageModularPipeline` with its `ClassifierFreeGuidance`, whose scheduler is "
        "`MeanCacheScheduler`",
        _qwen_image,
        ("diffusers", "torch"),
        branches=2,
    ),
)
