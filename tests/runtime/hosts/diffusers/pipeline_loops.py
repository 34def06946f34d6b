"""Small pipelines with a real scheduler and a closed-form denoiser, for loops of every shape."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

NOISE = torch.linspace(-2, 2, 6, dtype=torch.float64)


def field(z: Tensor, sigma: float) -> Tensor:
    """A curved velocity field: not a polynomial in σ along its trajectories."""
    return torch.sin(2 * z) + z * (1 - sigma)


class Denoiser:
    """Stands for a transformer; knows its calls."""

    def __init__(self, velocity: Callable[..., Any] = field) -> None:
        self.velocity = velocity
        self.sigmas: list[float] = []

    def __call__(self, *latents: Tensor, sigma: float) -> Any:
        self.sigmas.append(sigma)
        return self.velocity(*latents, sigma)


class Loop:
    """A pipeline that starts where it is told to, with or without telling the scheduler."""

    def __init__(self, scheduler: Any = None, *, tells: bool = True) -> None:
        self.transformer = Denoiser()
        self.scheduler = scheduler or FlowMatchEulerDiscreteScheduler(shift=3.0)
        self._tells = tells

    def __call__(self, steps: int, first: int = 0, **options: Any) -> Tensor:
        """Latents at σ = 0 from ``NOISE`` at the grid's step ``first``."""
        self.scheduler.set_timesteps(steps, **options)
        first *= self.scheduler.order
        if self._tells:
            self.scheduler.set_begin_index(first)
        z = NOISE.clone()
        for i, t in enumerate(self.scheduler.timesteps[first:], start=first):
            v = self.transformer(z, sigma=float(self.scheduler.sigmas[i]))
            z = self.scheduler.step(v, t, z, return_dict=False)[0]
        return z


def coupled(z: Tensor, y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Velocities of two streams that see each other, as video and audio do."""
    return field(z, sigma) + 0.3 * y, torch.cos(y) - 0.5 * z * sigma


class Streams:
    """Two streams in one loop: the second steps with a copy of the scheduler.

    Args:
        make: ``copy.copy`` or ``copy.deepcopy``.
        early: Whether the copy is made before the timesteps are set, as LTX-2 has it.
        order: Which of ``"main"`` and ``"copy"`` step in an iteration, one after another.
    """

    def __init__(
        self,
        make: Callable[[Any], Any] = copy.deepcopy,
        *,
        early: bool = True,
        order: tuple[str, ...] = ("main", "copy"),
    ) -> None:
        self.transformer = Denoiser(coupled)
        self.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        self.kept: Any = None
        self._make, self._early, self._order = make, early, order

    def __call__(self, steps: int) -> tuple[Tensor, Tensor]:
        """Both streams' latents at σ = 0, from NOISE and from its reverse."""
        other = self._make(self.scheduler) if self._early else None
        self.scheduler.set_timesteps(steps)
        if other is None:
            other = self._make(self.scheduler)
        else:
            other.set_timesteps(steps)
        z, y = NOISE.clone(), NOISE.flip(0)
        for i, t in enumerate(self.scheduler.timesteps):
            v, w = self.transformer(z, y, sigma=float(self.scheduler.sigmas[i]))
            for who in self._order:
                if who == "main":
                    z = self.scheduler.step(v, t, z, return_dict=False)[0]
                elif who == "copy":
                    y = other.step(w, t, y, return_dict=False)[0]
        self.kept = other
        return z, y
