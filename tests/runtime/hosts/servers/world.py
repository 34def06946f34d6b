"""A model in closed form, a schedule in a file, and what a run of both must give."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from meancache_runtime.predictors import Adams, Hold, Jvp
from meancache_runtime.schedule import Schedule, to_document
from tests.runtime import by_hand

STEPS = 12
KNOTS = (0, 1, 3, 6, 9)
BUDGET = len(KNOTS)
SCHEDULE = by_hand.schedule(
    STEPS, KNOTS, [Hold(), Adams((1.0, 0.9)), Jvp(2), Adams((1.0, 0.9, 1.1)), Adams((1.0,))]
)
EVERY = by_hand.schedule(STEPS, range(STEPS))
SHAPE = (1, 4, 3)
CLOSE = {"rtol": 0, "atol": 1e-5}
MU = 0.7


def velocity(z: Tensor, sigma: Any, prompt: float) -> Tensor:
    return torch.sin(3 * z + sigma) * (1 + sigma) + prompt * torch.cos(z * sigma)


class Denoiser(nn.Module):
    """It knows a latent by its sample and its noise level, and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, hidden_states: Tensor, timestep: Tensor, prompt: float) -> tuple[Tensor]:
        self.calls += 1
        return (velocity(hidden_states, timestep.view(-1, 1, 1), prompt),)


def noise(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def euler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)


def levels(steps: int = STEPS) -> list[float]:
    scheduler = euler()
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=MU)
    return scheduler.sigmas.tolist()


def expected(start: Tensor, schedule: Schedule = SCHEDULE, scale: float = 1.0) -> Tensor:
    """The latents by the specification's formulas, written a second time, in float64."""

    def guided(z: Tensor, sigma: float) -> Tensor:
        positive, negative = velocity(z, sigma, 1.0), velocity(z, sigma, -1.0)
        return positive if scale == 1.0 else negative + scale * (positive - negative)

    found = by_hand.integrate(guided, start.double(), schedule.plans[0], levels())
    return found.float()


def plain(start: Tensor, steps: int = STEPS) -> Tensor:
    """The latents of all of ``steps`` Euler steps."""
    z, sigmas = start.double(), levels(steps)
    for sigma, following in pairwise(sigmas):
        z = z + (following - sigma) * velocity(z, sigma, 1.0)
    return z.float()


def write(folder: Path, name: str = "few", schedule: Schedule = SCHEDULE, **changes: Any) -> Path:
    """A schedule's file, with other values at its top level."""
    file = folder / f"{name}.json"
    document = to_document(schedule, schedule.budgets[0]) | changes
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


GENERATION = {
    "height": 64,
    "width": 64,
    "frames": None,
    "guidance": {"true_cfg_scale": 2.5},
    "dtype": "float32",
    "negative_prompt": None,
    "attention": None,
    "quantisation": None,
    "settings": None,
    "elements": None,
    "calls": None,
}
