"""LoRA adapters with known weights, put into a pipeline's transformer without any file."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig

TARGETS = ["to_q", "to_v"]


def add(pipe: Any, name: str, *, seed: int = 0, alpha: float = 4, **options: Any) -> None:
    """Give the transformer an adapter with random weights, and make it the active one."""
    settings = {"r": 2, "target_modules": TARGETS, **options}
    pipe.transformer.add_adapter(LoraConfig(lora_alpha=alpha, **settings), adapter_name=name)
    generator = torch.Generator().manual_seed(seed)
    for key, weight in pipe.transformer.named_parameters():
        if "lora_" in key and f".{name}." in f"{key}.":
            weight.data = 0.5 * torch.randn(weight.shape, generator=generator).to(weight)
