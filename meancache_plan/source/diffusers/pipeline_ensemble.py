"""Calibration samples of a diffusers pipeline, for refinement."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.grid import same
from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal, Part
from meancache_plan.fleet.crew import Crew, crew_of
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.full_runs import LATENTS, FullRuns
from meancache_runtime import Schedule, attach
from meancache_runtime.errors import NonFiniteError

R = TypeVar("R")

REMEDY = "refine with the recipe, size and steps of the calibration"


class _Part(NamedTuple):
    """Samples of one pipeline call: rows, prompts and seeds, and latents if it is given any."""

    rows: list[int]
    prompts: list[str]
    seeds: list[int]
    latents: Tensor | None = None

    def __str__(self) -> str:
        pairs = zip(self.prompts, self.seeds, strict=True)
        return ", ".join(f"{prompt!r} with seed {seed}" for prompt, seed in pairs)


class PipelineEnsemble:
    """Every prompt with every seed, recorded once: a journal keeps the full runs.

    Attributes:
        recorded: How many full runs were made for it, now or before an interruption.

    Args:
        pipeline: The pipeline, not attached, with its settings; or a crew whose workers have one
            each, who share a call's batches.
        prompts: Calibration prompts.
        seeds: Each used with every prompt.
        journal: Keeps trajectories; an interrupted recording goes on from there.
        known: Where calibration kept full runs: those of these samples are not recorded again.
        batch: Samples a pipeline call.
        finer_steps: Steps of the full runs, seen on the recipe's grid; the recipe's by default.
        progress: Told (samples recorded, samples in all).

    Raises:
        InputError: No prompt or seed is given, the journal cannot be written, nothing is
            ``known`` of these samples, or on other noise levels than the pipeline's, or it
            samples two things at once.
    """

    def __init__(
        self,
        pipeline: Pipeline | Crew[Pipeline],
        prompts: Sequence[str],
        seeds: Sequence[int],
        journal: Journal,
        *,
        known: FullRuns | None = None,
        batch: int = 1,
        finer_steps: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._crew = crew_of(pipeline)
        self._finer_steps = finer_steps
        self._samples = [(prompt, seed) for prompt in prompts for seed in seeds]
        if not self._samples:
            raise InputError("nothing to refine on: give at least one prompt and one seed")
        self._batch = max(1, batch)
        self._runs = FullRuns(journal, self._crew.ask(_made) | {"finer_steps": finer_steps})
        self.prompt_index: NDArray[np.int64] = np.repeat(np.arange(len(prompts)), len(seeds))
        self._kept = {} if known is None else self._found(known)
        if known is not None and not self._kept:
            raise InputError(
                f"{known.folder}: holds no full run of these samples: give the folder in "
                "which calibrate kept them, of this profile, with these prompts and first seed; or "
                "give none"
            )
        self.recorded = len(self._samples) - len(self._kept)
        self._kept |= self._found(self._runs)
        self._record(progress)
        self.sigmas: tuple[float, ...] = tuple(self._kept[0].value)
        if not all(same(part.value, self.sigmas) for part in self._kept.values()):
            raise InputError(
                "full runs that were given and those of this pipeline are on different noise "
                f"levels: {REMEDY}"
            )
        first = self._kept[0].item(LATENTS, 0)
        _check_alone(first)
        self._dtype = first.dtype

    def full(self, rows: Sequence[int], step: int) -> Tensor:
        """Latents z_step of the full runs, in float32 or wider, on the CPU."""
        return torch.cat([_wide(self._kept[row].item(LATENTS, step)) for row in rows])

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        """Guided velocities at ``step`` from any latents."""

        def call(pipeline: Pipeline, part: _Part) -> tuple[float, Tensor]:
            assert part.latents is not None
            wanted = part.prompts, part.seeds, step, part.latents
            found = pipeline.resume(*wanted, until=step + 1)
            return found.sigmas[0], _wide(found.velocities[0])

        found = self._called(rows, call, latents.to(self._dtype))
        levels, velocities = zip(*found, strict=True)
        self._check_level(step, levels[0])
        return torch.cat(velocities)

    def _check_level(self, step: int, sigma: float) -> None:
        """Refuse a pipeline whose steps are not those of full runs that were given."""
        if not same([sigma], [self.sigmas[step]]):
            raise InputError(
                f"step {step} begins at noise level {sigma:.4g}, not at {self.sigmas[step]:.4g} as "
                f"in the full runs: {REMEDY}"
            )

    def replay(self, rows: Sequence[int], schedule: Schedule, budget: int) -> Tensor:
        """Final latents of a plan, by the runtime itself; NaN if a velocity was not finite."""

        def call(pipeline: Pipeline, part: _Part) -> Tensor | None:
            try:
                with attach(pipeline.pipe, schedule, budget=budget, on_unstable="ignore"):
                    return _ended(pipeline, part, schedule.grid.steps)
            except NonFiniteError:
                return None

        parts = self._called(rows, call)
        found = [part for part in parts if part is not None]
        if len(found) < len(parts):
            return torch.full_like(self.full(rows, 0), torch.nan)
        return torch.cat(found)

    def plain(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of a plain run of so few steps."""

        def call(pipeline: Pipeline, part: _Part) -> Tensor:
            return _ended(pipeline, part, steps)

        return torch.cat(self._called(rows, call))

    def _called(
        self,
        rows: Sequence[int],
        call: Callable[[Pipeline, _Part], R],
        latents: Tensor | None = None,
    ) -> list[R]:
        """What comes of the rows' batches, in their order."""

        def begin(pipeline: Pipeline) -> Callable[[_Part], list[R]]:
            return lambda part: [call(pipeline, part)]

        return self._crew.in_order(begin, self._parts(rows, latents))

    def _parts(self, rows: Sequence[int], latents: Tensor | None = None) -> list[_Part]:
        """The rows in batches."""
        parts: list[_Part] = []
        for start in range(0, len(rows), self._batch):
            batch = rows[start : start + self._batch]
            prompts, seeds = map(list, zip(*(self._samples[row] for row in batch), strict=True))
            given = None if latents is None else latents[start : start + self._batch].clone()
            parts.append(_Part([*batch], prompts, seeds, given))
        return parts

    def _found(self, runs: FullRuns) -> dict[int, Part]:
        """The rows' trajectories that are kept there."""
        found = {row: runs.find(*sample) for row, sample in enumerate(self._samples)}
        return {row: part for row, part in found.items() if part is not None}

    def _record(self, progress: Callable[[int, int], None]) -> None:
        """Record the trajectories that are not kept."""
        kept, count = self._kept, len(self._samples)
        parts = self._parts([row for row in range(count) if row not in kept])
        progress(len(kept), count)
        recording = partial(_recording, finer_steps=self._finer_steps)
        for place, found in self._crew.do(recording, parts):
            for row, trajectory in zip(parts[place].rows, found, strict=True):
                kept[row] = self._runs.keep(*self._samples[row], *trajectory)
            progress(len(kept), count)


def _made(pipeline: Pipeline) -> dict[str, Any]:
    """What decides all trajectories."""
    return {"model": pipeline.identity().model_dump(), "recipe": pipeline.recipe.model_dump()}


def _recording(
    pipeline: Pipeline, *, finer_steps: int | None
) -> Callable[[_Part], list[list[tuple[list[float], Tensor]]]]:
    """What records parts: noise levels and latents of each sample."""

    def record(part: _Part) -> list[list[tuple[list[float], Tensor]]]:
        found, _ = pipeline.record_batch(part.prompts, part.seeds, finer_steps=finer_steps)
        for trajectory in found:
            _check_alone(trajectory.latents[0])
        return [[(list(each.sigmas), each.latents.cpu().contiguous()) for each in found]]

    return record


def _ended(pipeline: Pipeline, part: _Part, steps: int) -> Tensor:
    return _wide(pipeline.final_latents(part.prompts, part.seeds, steps=steps))


def _check_alone(latents: Tensor) -> None:
    """Refuse joined latents, [1, N]: replay's final ones are seen of the first alone."""
    if latents.ndim == 2:
        raise InputError(
            "this pipeline samples two things at once, such as a video and its sound: its "
            "schedules cannot be refined; use them as they were solved"
        )


def _wide(latents: Tensor) -> Tensor:
    return latents.detach().cpu().to(torch.promote_types(latents.dtype, torch.float32))
