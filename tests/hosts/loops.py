"""Loops of one's own: torch, NumPy, and Python's lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from meancache_runtime import Replay, Table, integrate
from meancache_runtime.binding import bind_schedule
from meancache_runtime.schedule import Schedule
from tests.hosts.host import Host, Latents, Model, Run


def _integrate(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
        z = torch.from_numpy(noise).reshape(2, 16, 16).to(getattr(torch, dtype))
        found = integrate(model, z, schedule, budget=budget, sigmas=sigmas)
        return found.double().reshape(-1).numpy()

    return run


def _numpy(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
        machine = Replay(bind_schedule(schedule, budget, sigmas))
        z = velocity = noise.reshape(2, 16, 16).astype(dtype)
        for sigma, following in pairwise(sigmas):
            if machine.due:
                velocity = model(z, sigma)
            z = z + (following - sigma) * machine.advance(velocity)
        return z.astype(np.float64).reshape(-1)

    return run


class _Numbers(list[float]):
    """A list with the ``+`` and ``*`` of a vector."""

    def __add__(self, other: Any) -> _Numbers:
        others = other if isinstance(other, list) else [other] * len(self)
        return _Numbers(a + b for a, b in zip(self, others, strict=True))

    def __mul__(self, other: Any) -> _Numbers:
        others = other if isinstance(other, list) else [other] * len(self)
        return _Numbers(a * b for a, b in zip(self, others, strict=True))

    __radd__, __rmul__ = __add__, __mul__


def _lists(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
        table = Table.of(bind_schedule(schedule, budget, sigmas))
        machine, z = table.machine(), _Numbers(noise.tolist())
        for sigma, following in pairwise(table.sigmas):
            z = z + (following - sigma) * machine.advance(model(z, sigma))
        return np.array(z)

    return run


HOSTS = (
    Host(
        "torch",
        "`integrate` with tensors",
        _integrate,
        ("torch",),
        ("float64", "float32", "bfloat16", "float16"),
    ),
    Host(
        "NumPy",
        "the step machine `Replay`, in a loop over all steps",
        _numpy,
        ("numpy",),
        ("float64", "float32", "float16"),
    ),
    Host(
        "Python",
        "the machine of a `Table`, in a loop over the refreshes, with lists of numbers",
        _lists,
        (),
        ("float64",),
    ),
)
