"""Small things that picture pipelines are given: images, masks, noise, models like another."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tests.families.case import Case, seeded


def picture(side: int = 32) -> Image.Image:
    """A square of coloured noise."""
    pixels = noise(side, side, 3).mul(64).add(128).clamp(0, 255).byte()
    return Image.fromarray(pixels.numpy())


def mask(side: int = 32) -> Image.Image:
    """White, to be painted, on the left half; black, to be kept, on the right."""
    pixels = torch.zeros(side, side, dtype=torch.uint8)
    pixels[:, : side // 2] = 255
    return Image.fromarray(pixels.numpy())


def noise(*shape: int, seed: int = 7) -> Tensor:
    """Standard normal numbers, float32."""
    return seeded(lambda: torch.randn(*shape), seed)


def resized(module: Any, **changes: object) -> Any:
    """A diffusers model like another, with some settings changed and weights of its own."""
    known = {k: v for k, v in module.config.items() if not k.startswith("_")}
    return seeded(lambda: type(module)(**{**known, **changes})).eval()


def awaken(module: Any) -> Any:
    """A model with random weights in place of those that its training begins with as zeros."""
    for number, weights in enumerate(module.parameters()):
        if not weights.any():
            weights.data = noise(*weights.shape, seed=number).mul(0.1)
    return module.eval()


def partway(case: Case) -> Case:
    """The case with runs that start in mid-grid, from a noisy picture: the last 6 of 10 steps."""
    return case.variant(
        name=f"{case.name}, strength 0.6",
        call=lambda steps: {**case.call(round(steps / 0.6)), "strength": 0.6},
        steps=6,
        note="calibrated at this strength, for the steps that it takes",
    )
