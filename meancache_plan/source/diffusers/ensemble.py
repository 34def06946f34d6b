"""Calibration samples of a diffusers pipeline, for refinement."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal, Part
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime import Schedule, attach
from meancache_runtime.errors import NonFiniteError

TRAJECTORY, LATENTS = "trajectory", "latents"
"""A kept part and its tensor; its value is the grid."""


class PipelineEnsemble:
    """Every prompt with every seed, recorded once: a journal keeps the full trajectories.

    Args:
        pipeline: The pipeline, not attached, with its settings.
        prompts: Calibration prompts.
        seeds: Each used with every prompt.
        journal: Keeps trajectories; an interrupted recording goes on from there.
        batch: Samples a pipeline call.
        finer_steps: Steps of the full runs, seen on the recipe's grid; the recipe's by default.
        progress: Told (samples recorded, samples in all).

    Raises:
        InputError: No prompt or seed is given, the journal cannot be written, or the pipeline
            samples two things at once.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        prompts: Sequence[str],
        seeds: Sequence[int],
        journal: Journal,
        *,
        batch: int = 1,
        finer_steps: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._pipeline = pipeline
        self._finer_steps = finer_steps
        self._samples = [(prompt, seed) for prompt in prompts for seed in seeds]
        if not self._samples:
            raise InputError("nothing to refine on: give at least one prompt and one seed")
        self._journal = journal
        self._batch = max(1, batch)
        self._made = {
            "model": pipeline.identity().model_dump(),
            "recipe": pipeline.recipe.model_dump(),
            "finer_steps": finer_steps,
        }
        self.prompt_index: NDArray[np.int64] = np.repeat(np.arange(len(prompts)), len(seeds))
        self._kept = self._record(progress)
        self.sigmas: tuple[float, ...] = tuple(self._kept[0].value)
        self._dtype = self._kept[0].item(LATENTS, 0).dtype

    def full(self, rows: Sequence[int], step: int) -> Tensor:
        """Latents z_step of the full trajectories, in float32 or wider, on the CPU."""
        return torch.cat([_wide(self._kept[row].item(LATENTS, step)) for row in rows])

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
        """Final latents of a plan, by the runtime itself; NaN if a velocity was not finite."""
        try:
            with attach(self._pipeline.pipe, schedule, budget=budget, on_unstable="ignore"):
                return self._run(rows, schedule.grid.steps)
        except NonFiniteError:
            return torch.full_like(self.full(rows, schedule.grid.steps), torch.nan)

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

    def _record(self, progress: Callable[[int, int], None]) -> list[Part]:
        """The trajectory of every row; those that are not known are recorded now."""
        rows = range(len(self._samples))
        kept = {row: part for row in rows if (part := self._find(row)) is not None}
        missing = [row for row in rows if row not in kept]
        progress(len(kept), len(rows))
        for part, prompts, seeds in self._batches(missing):
            found, _ = self._pipeline.record_batch(prompts, seeds, finer_steps=self._finer_steps)
            for row, trajectory in zip(missing[part], found, strict=True):
                _check_alone(trajectory)
                kept[row] = self._keep(row, trajectory)
            progress(len(kept), len(rows))
        return [kept[row] for row in rows]

    def _find(self, row: int) -> Part | None:
        return self._journal.find(TRAJECTORY, self._identity(row))

    def _keep(self, row: int, trajectory: Trajectory) -> Part:
        latents, sigmas = trajectory.latents, list(trajectory.sigmas)
        return self._journal.keep(TRAJECTORY, self._identity(row), sigmas, {LATENTS: latents})

    def _identity(self, row: int) -> dict[str, object]:
        """Everything that decides a sample's trajectory."""
        prompt, seed = self._samples[row]
        return {**self._made, "prompt": prompt, "seed": seed}


def _check_alone(trajectory: Trajectory) -> None:
    """Refuse joined latents, [T + 1, 1, N]: replay's final ones are seen of the first alone."""
    if trajectory.latents.ndim == 3:
        raise InputError(
            "this pipeline samples two things at once, such as a video and its sound: its "
            "schedules cannot be refined; use them as they were solved"
        )


def _wide(latents: Tensor) -> Tensor:
    return latents.detach().cpu().to(torch.promote_types(latents.dtype, torch.float32))
