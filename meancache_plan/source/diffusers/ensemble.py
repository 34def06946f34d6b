"""Calibration samples of a diffusers pipeline, for refinement."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError
from meancache_plan.files.atomic import write_atomically
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime import Schedule, attach

METADATA = "meancache-sample"
"""The metadata entry of a kept trajectory: a digest of what it is of."""


class PipelineEnsemble:
    """Every prompt with every seed, recorded once: the full trajectories are kept in a folder.

    Args:
        pipeline: The pipeline, not attached, with its settings.
        prompts: Calibration prompts.
        seeds: Each used with every prompt.
        folder: Where trajectories are kept; an interrupted recording goes on from there.
        batch: Samples a pipeline call.
        finer_steps: Steps of the full runs, seen on the recipe's grid; the recipe's by default.
        progress: Told (samples recorded, samples in all).

    Raises:
        InputError: No prompt or seed is given, the folder cannot be written, a trajectory in it is
            not readable or of another sample, or the pipeline samples two things at once.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        prompts: Sequence[str],
        seeds: Sequence[int],
        folder: Path,
        *,
        batch: int = 1,
        finer_steps: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._pipeline = pipeline
        self._finer = {} if finer_steps is None else {"finer_steps": finer_steps}
        self._samples = [(prompt, seed) for prompt in prompts for seed in seeds]
        if not self._samples:
            raise InputError("nothing to refine on: give at least one prompt and one seed")
        self._folder = folder
        self._batch = max(1, batch)
        self._made = {
            "model": pipeline.identity().model_dump(),
            "recipe": pipeline.recipe.model_dump(),
            **self._finer,
        }
        self.prompt_index: NDArray[np.int64] = np.repeat(np.arange(len(prompts)), len(seeds))
        self.sigmas = self._record(progress)

    def full(self, rows: Sequence[int], step: int) -> Tensor:
        """Latents z_step of the full trajectories, in float32 or wider, on the CPU."""
        return torch.cat([self._load(row, step) for row in rows])

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        """Guided velocities at ``step`` from any latents."""
        parts = [
            self._pipeline.resume(
                prompts, seeds, step, latents[part].to(self._dtype), until=step + 1
            ).velocities[0]
            for part, prompts, seeds in self._batches(rows)
        ]
        return _wide(torch.cat(parts))

    def replay(self, rows: Sequence[int], schedule: Schedule, budget: int) -> Tensor:
        """Final latents of a plan, by the runtime itself."""
        with attach(self._pipeline.pipe, schedule, budget=budget):
            return self._run(rows, schedule.grid.steps)

    def plain(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of a plain run of so few steps."""
        return self._run(rows, steps)

    def _run(self, rows: Sequence[int], steps: int) -> Tensor:
        parts = [
            self._pipeline.final_latents(prompts, seeds, steps=steps)
            for _, prompts, seeds in self._batches(rows)
        ]
        return _wide(torch.cat(parts))

    def _batches(self, rows: Sequence[int]) -> list[tuple[slice, list[str], list[int]]]:
        """Places among ``rows``, prompts and seeds of each pipeline call."""
        starts = range(0, len(rows), self._batch)
        parts = [slice(start, min(start + self._batch, len(rows))) for start in starts]
        return [
            (
                part,
                [self._samples[row][0] for row in rows[part]],
                [self._samples[row][1] for row in rows[part]],
            )
            for part in parts
        ]

    def _record(self, progress: Callable[[int, int], None]) -> tuple[float, ...]:
        """Record what is missing; return the grid."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self._folder}: cannot be made ({error.strerror})") from error
        rows = range(len(self._samples))
        missing = [row for row in rows if not self._kept(row)]
        progress(len(rows) - len(missing), len(rows))
        for part, prompts, seeds in self._batches(missing):
            found, _ = self._pipeline.record_batch(prompts, seeds, **self._finer)
            for row, trajectory in zip(missing[part], found, strict=True):
                _check_alone(trajectory)
                self._keep(row, trajectory)
            progress(len(rows) - len(missing) + part.stop, len(rows))
        with self._open(0) as kept:
            self._dtype = kept.get_slice("latents")[:1].dtype
            return tuple(kept.get_tensor("sigmas").tolist())

    def _keep(self, row: int, trajectory: Trajectory) -> None:
        tensors = {
            "latents": trajectory.latents.contiguous().cpu(),
            "sigmas": torch.tensor(trajectory.sigmas, dtype=torch.float64),
        }
        metadata = {METADATA: self._identity(row)}
        write_atomically(self._file(row), safetensors.torch.save(tensors, metadata))

    def _kept(self, row: int) -> bool:
        """Whether this sample's trajectory is there; refuses one of another sample."""
        if not self._file(row).exists():
            return False
        with self._open(row) as kept:
            if (kept.metadata() or {}).get(METADATA) != self._identity(row):
                raise InputError(
                    f"{self._file(row)}: is of another prompt, seed, recipe or model; delete "
                    f"{self._folder} and run again"
                )
        return True

    def _identity(self, row: int) -> str:
        """A digest of everything that decides a sample's trajectory."""
        prompt, seed = self._samples[row]
        text = json.dumps({**self._made, "prompt": prompt, "seed": seed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _load(self, row: int, step: int) -> Tensor:
        with self._open(row) as kept:
            return _wide(kept.get_slice("latents")[step])

    def _open(self, row: int) -> safetensors.safe_open:
        try:
            return safetensors.safe_open(self._file(row), framework="pt")
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(
                f"{self._file(row)}: not readable ({error}); delete it and run again"
            ) from error

    def _file(self, row: int) -> Path:
        return self._folder / f"{row:06d}.safetensors"


def _check_alone(trajectory: Trajectory) -> None:
    """Refuse joined latents, [T + 1, 1, N]: replay's final ones are seen of the first alone."""
    if trajectory.latents.ndim == 3:
        raise InputError(
            "this pipeline samples two things at once, such as a video and its sound: its "
            "schedules cannot be refined; use them as they were solved"
        )


def _wide(latents: Tensor) -> Tensor:
    return latents.detach().cpu().to(torch.promote_types(latents.dtype, torch.float32))
