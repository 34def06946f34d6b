"""One prompt and seed: its sample in every way, the full one first."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from meancache_plan.core.psnr import mean_square, moments
from meancache_plan.errors import InputError
from meancache_plan.judge import metrics
from meancache_plan.judge.contenders import Contender
from meancache_plan.judge.figures import Figures
from meancache_plan.judge.finished import Finished
from meancache_plan.judge.result import Shot
from meancache_plan.judge.witness import Witness
from meancache_plan.source.diffusers.pipeline import Frames, Pipeline, Sample
from meancache_runtime import ReplayStats, attach
from meancache_runtime import Schedule as ReplaySchedule
from meancache_runtime.hosts.diffusers.identity import denoisers
from meancache_runtime.hosts.diffusers.intercept import Interception

NO_FRAMES = np.zeros((0, 0, 0, 3), dtype=np.float32)


@dataclass(slots=True)
class Field:
    """All who compete, and all who look on.

    Attributes:
        pipeline: Makes the samples.
        entrants: The contenders, the full run first.
        judges: What is measured of pictures, by name.
        finished: Figures of samples that need not be made again.
        witnesses: Shown every sample.
        warm: Whether the pipeline has run before.
    """

    pipeline: Pipeline
    entrants: Sequence[Contender]
    judges: Mapping[str, metrics.PictureMetric]
    finished: Finished
    witnesses: Sequence[Witness]
    warm: bool = False


class Match:
    """The samples of one prompt and seed; those that are finished are recalled."""

    def __init__(self, field: Field, prompt: str, seed: int) -> None:
        self._field, self._prompt, self._seed = field, prompt, seed
        self._full: tuple[Sample, int] | None = None

    def figures(self, contender: Contender) -> Figures:
        """What this contender's sample measures.

        Raises:
            InputError: The sample is not finite.
        """
        key = self._prompt, self._seed, contender
        known = self._field.finished.find(*key)
        if known is not None and self._is_held(contender, known):
            return known
        figures = self._measured(contender)
        self._field.finished.keep(*key, figures)
        return figures

    def _is_held(self, contender: Contender, figures: Figures) -> bool:
        shot = self._shot(contender, figures.calls, figures.pictures["psnr"], NO_FRAMES)
        return all(witness.holds(shot) for witness in self._field.witnesses)

    def _measured(self, contender: Contender) -> Figures:
        """Make the sample, show it, and compare it with the full one."""
        if self._full is None:
            first = self._field.entrants[0]
            self._full = self._made(first)
            if contender is not first:  # an interrupted match goes on
                self._compared(first, *self._full, self._full[0])
        full = self._full[0]
        made = self._full if contender is self._field.entrants[0] else self._made(contender)
        return self._compared(contender, *made, full)

    def _compared(self, contender: Contender, sample: Sample, calls: int, full: Sample) -> Figures:
        judges = self._field.judges.items()
        pictures = {name: judge(full.frames, sample.frames) for name, judge in judges}
        shot = self._shot(contender, calls, pictures["psnr"], sample.frames)
        for witness in self._field.witnesses:
            witness.keep(shot)
        return Figures(
            calls=calls,
            seconds=sample.seconds,
            latent_error=mean_square(full.latents, sample.latents),
            pictures=pictures,
            moments=moments(full.latents) if sample is full else None,
        )

    def _shot(self, contender: Contender, calls: int, psnr: float, frames: Frames) -> Shot:
        method, budget = contender.method, contender.budget
        return Shot(self._prompt, self._seed, method, budget, calls, psnr, frames)

    def _made(self, contender: Contender) -> tuple[Sample, int]:
        field = self._field
        if not field.warm:
            _warm_up(field.pipeline, field.entrants[1], self._prompt, self._seed)
            field.warm = True
        sample, calls = _generate(field.pipeline, contender, self._prompt, self._seed)
        if not (torch.isfinite(sample.latents).all() and np.isfinite(sample.frames).all()):
            raise InputError(
                f"{contender.method} at budget {contender.budget}: the sample for "
                f"{self._prompt!r} is not finite: the model overflows; try another dtype"
            )
        return sample, calls


def replay(
    pipeline: Pipeline, schedule: ReplaySchedule, budget: int, prompt: str, seed: int
) -> tuple[Sample, ReplayStats]:
    """Make one sample with a schedule; return it and what the run did."""
    with attach(pipeline.pipe, schedule, budget=budget) as attachment:
        sample = pipeline.generate(prompt, seed, steps=schedule.grid.steps)
    return sample, attachment.stats


def _generate(
    pipeline: Pipeline, contender: Contender, prompt: str, seed: int
) -> tuple[Sample, int]:
    """Make one sample; return it and the denoiser's forward calls."""
    if contender.schedule is not None:
        sample, stats = replay(pipeline, contender.schedule, contender.budget, prompt, seed)
        return sample, stats.denoiser_calls
    with _counted(pipeline.pipe) as calls:
        sample = pipeline.generate(prompt, seed, steps=contender.steps)
    return sample, len(calls)


@contextmanager
def _counted(pipe: Any) -> Generator[list[str]]:
    """Collect the name of the denoiser at each of its forward calls."""
    calls: list[str] = []

    def counting(name: str, module: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return module(*args, **kwargs)

        return call

    modules = denoisers(pipe)
    overrides = {name: {"__call__": counting(name, module)} for name, module in modules.items()}
    interception = Interception(pipe, overrides, nullcontext)
    try:
        yield calls
    finally:
        interception.remove()


def _warm_up(pipeline: Pipeline, entrant: Contender, prompt: str, seed: int) -> None:
    """Let lazy initialisation, autotuning and compilation happen before anything is timed."""
    pipeline.generate(prompt, seed, steps=2)
    _generate(pipeline, entrant, prompt, seed)
