"""What the compiler asks of a model: runs to record, and samples to run again and again."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.trajectory import Trajectory
from meancache_plan.schedule.artifact import Generation, ModelIdentity
from meancache_runtime import Schedule


@runtime_checkable
class Source(Protocol):
    """Whatever full runs can be recorded from."""

    def identity(self) -> ModelIdentity:
        """The model, as the artifact names it."""
        ...

    def generation(self) -> Generation:
        """Size, guidance and dtype."""
        ...

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's configuration."""
        ...

    def num_inference_steps(self) -> int:
        """How many steps it was told to take; what a run really takes, the run tells."""
        ...

    def call_arguments(self) -> dict[str, Any]:
        """Every argument that a sample is made with, except prompt and seed."""
        ...

    def versions(self) -> dict[str, str]:
        """What decides a sample's bits: libraries, devices, and on a CPU the threads."""
        ...

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        """Run one sample: its trajectory, and the mean seconds of a denoiser refresh.

        ``finer_steps``: of so many steps, seen on the grid of the usual number.
        """
        ...

    def record_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], *, finer_steps: int | None = None
    ) -> tuple[list[Trajectory], float]:
        """Run several samples in one call, each from the noise that it has alone.

        Returns a trajectory each, and a sample's share of the mean seconds of a refresh. Raises
        InputError where that cannot be.
        """
        ...

    def resume(self, prompt: str, seed: int, step: int, latents: Tensor) -> Trajectory:
        """Take Euler steps with one sample from ``step`` on, from these latents."""
        ...


class Ensemble(Protocol):
    """S samples; a row is a sample's number in 0 … S − 1.

    Latents are tensors [n, …], float32 or wider, one per row, in the order of ``rows``.
    """

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The grid, T + 1 noise levels: of the steps that move the samples."""
        ...

    @property
    def prompt_index(self) -> NDArray[np.int64]:
        """Which prompt each row is of, int64 [S]."""
        ...

    def full(self, rows: Sequence[int], step: int) -> Tensor:
        """Latents z_step of the full runs."""
        ...

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        """Guided velocities at ``step`` from any latents."""
        ...

    def replay(self, rows: Sequence[int], schedule: Schedule, budget: int) -> Tensor:
        """Final latents of a plan on its schedule's grid; NaN if a velocity was not finite."""
        ...

    def plain(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of a plain Euler run of so few steps."""
        ...
