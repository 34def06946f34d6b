"""Tiny pipelines to calibrate, which take fixed seconds and stop when told to; and samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from diffusers import FluxPipeline

from meancache_plan.core.trajectory import Trajectory
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from tests.tiny import SIDE, TEXT_LENGTH

PROMPTS = ("a cat", "a dog", "an owl")
SEEDS = (0, 1)


class Source(Pipeline):
    """A pipeline whose measured seconds are fixed, so that whole files can be compared."""

    recorded = 0
    stop_after: int | None = None

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        if self.recorded == self.stop_after:
            raise KeyboardInterrupt
        self.recorded += 1
        return super().record(prompt, seed, finer_steps=finer_steps)[0], 0.25


def source(pipe: FluxPipeline, **options: Any) -> Source:
    recipe: dict[str, Any] = {
        "steps": 6,
        "height": SIDE,
        "width": SIDE,
        "dtype": "float32",
        "guidance": 1.0,
    }
    recipe |= {"call": {"max_sequence_length": TEXT_LENGTH}}
    return Source(pipe, Recipe.model_validate({"model": "tiny", **recipe, **options}), "tiny")


def interrupt(pipe: FluxPipeline, path: Path, *, after: int) -> None:
    """Calibrate into ``path`` until ``after`` samples are done."""
    first = source(pipe)
    first.stop_after = after
    with pytest.raises(KeyboardInterrupt):
        calibrate(first, PROMPTS, SEEDS, path)


def kept_runs(folder: Path) -> list[Path]:
    """The files of full runs in a folder."""
    return sorted(folder.glob("trajectory-*.safetensors"))


class Batching(Pipeline):
    """A pipeline with guidance by two calls, whose measured seconds are fixed."""

    calls: list[int]
    stop_after: int | None = None

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        self._count(1)
        return super().record(prompt, seed, finer_steps=finer_steps)[0], 0.25

    def record_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], *, finer_steps: int | None = None
    ) -> tuple[list[Trajectory], float]:
        self._count(len(prompts))
        return super().record_batch(prompts, seeds, finer_steps=finer_steps)[0], 0.25

    def _count(self, samples: int) -> None:
        if sum(self.calls) == self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(samples)


class Resuming(Pipeline):
    """A pipeline that counts its full runs and the steps of its other runs."""

    recorded = 0
    resumed = 0
    stop_after: int | None = None

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        self.recorded += 1
        return super().record(prompt, seed)[0], 0.25

    def resume(self, *args: Any, **kwargs: Any) -> Trajectory:
        if self.stop_after is not None and self.resumed >= self.stop_after:
            raise KeyboardInterrupt
        found = super().resume(*args, **kwargs)
        self.resumed += len(found.velocities)
        return found
