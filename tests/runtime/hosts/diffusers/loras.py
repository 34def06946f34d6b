"""LoRA adapters with known weights, and schedules that were made with a pipeline's adapters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig

from meancache_runtime.annotations import Generation
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from meancache_runtime.schedule import Adapter, Model, Schedule
from tests.plans import SCHEDULE

TARGETS = ["to_q", "to_v"]
MADE = Generation(None, None, None, {"guidance_scale": 1.0}, "float32")


def add(pipe: Any, name: str, *, seed: int = 0, alpha: float = 4, **options: Any) -> None:
    """Give the transformer an adapter with random weights, and make it the active one."""
    settings = {"r": 2, "target_modules": TARGETS, **options}
    pipe.transformer.add_adapter(LoraConfig(lora_alpha=alpha, **settings), adapter_name=name)
    generator = torch.Generator().manual_seed(seed)
    for key, weight in pipe.transformer.named_parameters():
        if "lora_" in key and f".{name}." in f"{key}.":
            weight.data = 0.5 * torch.randn(weight.shape, generator=generator).to(weight)


def in_effect(pipe: Any) -> list[str]:
    """The names of the pipeline's adapters."""
    return [adapter.name for adapter in adapters_in_effect(pipe)]


def made_with(*adapters: Adapter) -> Schedule:
    """The schedule as if it had been compiled with these adapters."""
    model = Model("owner/model", None, None, None, None, adapters)
    return replace(SCHEDULE, model=model, generation=MADE)


def made_on(pipe: Any) -> Schedule:
    """The schedule as if it had been compiled with the adapters in effect."""
    return made_with(*adapters_in_effect(pipe))
