"""An ensemble of a velocity function, for flows without a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from meancache_plan.core.finer_run import record_finer
from meancache_plan.core.grid import parted
from meancache_plan.core.trajectory import Velocity, record_flow
from meancache_runtime import Schedule, integrate
from meancache_runtime.errors import NonFiniteError


class FlowEnsemble:
    """An ensemble of a velocity function, for flows without a pipeline.

    Args:
        velocity: ``velocity(latents, sigma)``; must treat the first dimension as a batch.
        noise: Initial latents, [S, …], floating dtype.
        sigmas: The grid, T + 1 noise levels; the last may be repeated.
        prompt_index: Which of them go together; each alone by default.
        grid: steps → noise levels of a plain run of so few steps; by default the sampler's own
            levels interpolated, which is exact for grids with a static shift.
        finer: Finer noise levels of the full runs; those of ``sigmas`` by default.
    """

    def __init__(
        self,
        velocity: Velocity,
        noise: Tensor,
        sigmas: Sequence[float],
        *,
        prompt_index: Sequence[int] | None = None,
        grid: Callable[[int], Sequence[float]] | None = None,
        finer: Sequence[float] | None = None,
    ) -> None:
        self.sigmas, _ = parted(sigmas)
        self.prompt_index = np.asarray(
            range(len(noise)) if prompt_index is None else prompt_index, dtype=np.int64
        )
        assert len(self.prompt_index) == len(noise)
        self._velocity = velocity
        self._noise = noise
        self._grid = grid or self._interpolated
        if finer is None:
            self._full = record_flow(velocity, noise, sigmas).latents
        else:
            self._full = record_finer(velocity, noise, sigmas, finer).latents

    def full(self, rows: Sequence[int], step: int) -> Tensor:
        """Latents z_step of the full runs."""
        return self._full[step, list(rows)]

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        """Velocities at ``step`` from any latents."""
        return self._velocity(latents, self.sigmas[step])

    def replay(self, rows: Sequence[int], schedule: Schedule, budget: int) -> Tensor:
        """Final latents of a plan; NaN if a velocity on the way was not finite."""
        noise, sigmas = self._noise[list(rows)], schedule.grid.sigmas or self.sigmas
        try:
            return integrate(
                self._velocity, noise, schedule, budget=budget, sigmas=sigmas, on_unstable="ignore"
            )
        except NonFiniteError:
            return torch.full_like(noise, torch.nan)

    def plain(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of a plain Euler run of so few steps."""
        latents = self._noise[list(rows)]
        for sigma, following in pairwise(self._grid(steps)):
            latents = latents + (following - sigma) * self._velocity(latents, sigma)
        return latents

    def _interpolated(self, steps: int) -> list[float]:
        total = len(self.sigmas) - 1
        places = np.linspace(0, total, steps + 1)
        return np.interp(places, np.arange(total + 1), self.sigmas).tolist()


class Counting(FlowEnsemble):
    """Counts refreshes."""

    refreshes = 0

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        self.refreshes += len(rows)
        return super().velocity(rows, step, latents)
