"""Measure them: N samples of everyone, kept as features, beside pictures that none of them made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from meancache_plan.core.frechet import Gaussian, frechet_change, frechet_distance, gaussian
from meancache_plan.errors import InputError, check_whole
from meancache_plan.files.journal import Journal
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.contest import Contest
from meancache_plan.judge.frechet.frechet_distances import Distance, Distances
from meancache_plan.judge.frechet.picture_features import (
    Features,
    Pictures,
    dimensions,
    find_features,
)
from meancache_plan.judge.frechet.picture_folder import Folder
from meancache_plan.judge.left_as_found import left_as_found
from meancache_plan.source.diffusers.pipeline import Pipeline

Cloud = NDArray[np.float32]
"""Features [N, D]."""

Watch = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True, slots=True)
class FrechetSettings:
    """What is to be measured.

    Sample k has prompt k mod P of P prompts, and of each prompt the seeds go up from the
    evaluation's first.

    Attributes:
        samples: N, of each method.
        to: A folder of pictures to measure distances to; without one, to N further full samples,
            of other seeds: the full samples' own distance is then what chance alone makes.
        batch: Samples a pipeline call.
        prompts: In place of the evaluation's.
        methods: Which of the evaluation's, beside the full run; all by default.
        features: What pictures are compared by; by default the best that are here.
        watch: Name of a piece of work → what to tell (done, in all) of the samples of everyone.
    """

    samples: int
    to: Path | None = None
    batch: int = 1
    prompts: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    features: Features | None = None
    watch: Watch = lambda work: lambda done, total: None


def frechet_settings(
    samples: int | None,
    to: Path | None,
    batch: int,
    watch: Watch,
) -> FrechetSettings | None:
    """What a caller wants: nothing without a number of samples.

    Raises:
        InputError: A folder is given without one.
    """
    if samples is not None:
        return FrechetSettings(samples, to, batch, watch=watch)
    if to is not None:
        raise InputError(f"frechet-to {to}: give the number of samples as well, with frechet")
    return None


class _Job(NamedTuple):
    prompt: str
    seed: int


class Measurement:
    """What is asked for, checked before any work.

    Memory: 4·N·D bytes a cloud, of which three are held, and some float64 [D, D]. Of the pictures
    only a batch is held; features outlast an interruption in the contest's journal.

    Args:
        pipeline: What makes the samples.
        settings: What is wanted.

    Raises:
        InputError: There are too few samples or pictures for so many dimensions, the folder holds
            no pictures of one size, or the pipeline has no autoencoder for pictures.
    """

    def __init__(self, pipeline: Pipeline, settings: FrechetSettings) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._features = settings.features or find_features(pipeline)
        self._dimensions = dimensions(self._features)
        self._folder = None if settings.to is None else Folder(settings.to)
        check_whole("batch", settings.batch, 1)
        self._check(
            f"frechet {check_whole('frechet', settings.samples, 1)}", settings.samples, "samples"
        )
        if self._folder is not None:
            self._check(f"{settings.to}: holds {len(self._folder)}", len(self._folder), "pictures")

    def run(self, contest: Contest, journal: Journal) -> Distances:
        """Make everyone's samples, those that are kept aside, and compare them.

        Args:
            contest: Who competes on what.
            journal: The contest's.

        Raises:
            InputError: A sample is not finite, or the folder's pictures are of another size.
        """
        jobs = self._jobs(contest)
        chosen, others = jobs[: self._settings.samples], jobs[self._settings.samples :]
        wanted = self._settings.methods
        contenders = [each for each in contest.contenders if wanted is None or each.name in wanted]
        self._done, self._total = 0, len(chosen) * (1 + len(contenders)) + len(others)
        self._tell = self._settings.watch("Fréchet distances")
        full = self._cloud(journal, contest.full, chosen)
        target = gaussian(self._target(journal, contest.full, others))
        prompts = {prompt: number for number, (prompt, _) in enumerate(chosen)}
        groups = [prompts[prompt] for prompt, _ in chosen]
        rows = [self._row(contest.full, full, full, target, groups)]
        for contender in contenders:
            cloud = self._cloud(journal, contender, chosen)
            rows.append(self._row(contender, full, cloud, target, groups))
        return Distances(
            name=self._features.name,
            dimensions=self._dimensions,
            samples=len(chosen),
            to="further full samples, of other seeds" if self._folder is None else "given pictures",
            pictures=len(others) if self._folder is None else len(self._folder),
            rows=tuple(rows),
        )

    def _check(self, what: str, count: int, kind: str) -> None:
        """Refuse a covariance of so few that chance would decide most of it."""
        least = 2 * self._dimensions
        if count < least:
            raise InputError(
                f"{what}: too few {kind} for {self._features.name}, whose features have "
                f"{self._dimensions} dimensions: give {least} {kind} or more"
            )

    def _jobs(self, contest: Contest) -> list[_Job]:
        """N samples, and N others if distances are to these."""
        prompts = self._settings.prompts or contest.prompts
        count = self._settings.samples * (2 if self._folder is None else 1)
        first = min(contest.seeds)
        return [_Job(prompts[k % len(prompts)], first + k // len(prompts)) for k in range(count)]

    def _target(self, journal: Journal, full: Contender, others: Sequence[_Job]) -> Cloud:
        if self._folder is None:
            return self._cloud(journal, full, others)
        parts = [self._features(each) for each in self._folder.batches(self._settings.batch)]
        return torch.cat(parts).numpy()

    def _cloud(self, journal: Journal, contender: Contender, jobs: Sequence[_Job]) -> Cloud:
        """Everyone's features of these samples, a batch at a time."""
        parts: list[Cloud] = []
        for first in range(0, len(jobs), self._settings.batch):
            batch = jobs[first : first + self._settings.batch]
            parts.append(self._kept(journal, contender, batch))
            self._done += len(batch)
            self._tell(self._done, self._total)
        return np.concatenate(parts)

    def _kept(self, journal: Journal, contender: Contender, jobs: Sequence[_Job]) -> Cloud:
        inputs = [self._features.name, *contender.identity, *map(list, jobs)]
        known = journal.find("features", inputs)
        if known is None:
            found = self._features(self._sampled(contender, jobs))
            known = journal.keep("features", inputs, tensors={"features": found})
        return known.tensors()["features"].numpy()

    def _sampled(self, contender: Contender, jobs: Sequence[_Job]) -> Pictures:
        """The pictures of one call, rounded to 8 bits as files hold them; a video's middle one."""
        pipeline, (prompts, seeds) = self._pipeline, map(list, zip(*jobs, strict=True))
        with left_as_found(pipeline.pipe), contender.enter(pipeline):
            result = pipeline.run(prompts, seeds, steps=contender.steps, output_type="np")
        pictures = np.asarray(result.images if hasattr(result, "images") else result.frames)
        if pictures.ndim == 5:
            pictures = pictures[:, pictures.shape[1] // 2]
        if not np.isfinite(pictures).all():
            raise InputError(
                f"{contender.name} at budget {contender.budget}: a sample for {prompts[0]!r} is "
                "not finite: the model overflows; try another dtype"
            )
        if self._folder is not None:
            self._folder.check((pictures.shape[2], pictures.shape[1]))
        return (pictures.clip(0, 1) * 255).round().astype(np.uint8)

    def _row(
        self, contender: Contender, full: Cloud, cloud: Cloud, target: Gaussian, groups: list[int]
    ) -> Distance:
        change = frechet_change(full, cloud, target, groups)
        return Distance(
            method=contender.name,
            setting=contender.setting,
            budget=contender.budget,
            distance=frechet_distance(gaussian(cloud), target),
            change=change.value,
            interval=change.interval,
        )
