"""Measure full-step trajectories into a profile: durable, resumable, divisible."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from meancache_plan.artifact import Generation, ModelIdentity
from meancache_plan.errors import InputError
from meancache_plan.grid import check_sigmas
from meancache_plan.partial import Job, Partial, assemble
from meancache_plan.profile import Profile, ProfileSettings, load_profile, measure
from meancache_plan.recipe import digest
from meancache_plan.record import Trajectory, Velocity, record_flow

MAX_WINDOW = 6
"""Largest K of the paper's predictor that a profile holds."""

Progress = Callable[[int, int], None]
"""Called with (samples done, samples in all)."""


class Source(Protocol):
    """Whatever full-step trajectories can be recorded from."""

    def identity(self) -> ModelIdentity:
        """The model, as the artifact names it."""
        ...

    def generation(self) -> Generation:
        """Size, guidance and dtype."""
        ...

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's configuration."""
        ...

    def call_arguments(self) -> dict[str, Any]:
        """Every argument that a sample is made with, but for prompt and seed."""
        ...

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that decide a sample's bits."""
        ...

    def record(self, prompt: str, seed: int) -> tuple[Trajectory, float]:
        """Run one sample: its trajectory, and the mean seconds of a step."""
        ...


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` of ``count`` of a calibration, 1-based: jobs number − 1, + count, …"""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``"i/n"``. Raises InputError."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal()):
            raise InputError(f"--shard {text!r}: give i/n, such as 2/8 for the second of eight")
        if not 1 <= int(number) <= int(count) <= 100_000:
            raise InputError(f"--shard {text!r}: i must lie in 1 to n")
        return cls(int(number), int(count))

    def suffixed(self, name: str) -> str:
        """A file name of this shard's own: ``a.b`` for the whole, ``a.2-of-8.b`` for a part."""
        stem, dot, suffix = name.rpartition(".")
        return name if self.count == 1 else f"{stem}.{self.number}-of-{self.count}{dot}{suffix}"


def calibrate(
    source: Source,
    prompts: Sequence[str],
    seeds: Sequence[int],
    path: Path,
    *,
    shard: Shard | None = None,
    max_edge: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Profile:
    """Record every prompt with every seed, measure, and write the profile to ``path``.

    Every finished sample is kept in ``PATH.partial/``; a run that was interrupted at any moment
    goes on from there, and its profile equals an uninterrupted one's bit for bit (but for the
    measured seconds). To use several devices, give each a ``shard`` and merge the profiles.

    Args:
        source: The pipeline, with its settings.
        prompts: Texts, at least one.
        seeds: Seeds of the initial noise, at least one.
        path: The profile's file.
        shard: Which part of the samples to record; all by default.
        max_edge: Longest edge measured, in steps; all T by default.
        progress: Told after every sample.

    Raises:
        InputError: ``path`` cannot be written, or it or its partial results belong to another
            calibration.
    """
    part = shard or Shard()
    jobs = _jobs(prompts, seeds)[part.number - 1 :: part.count]
    if not jobs:
        raise InputError(f"this shard holds none of the {len(prompts) * len(seeds)} samples")
    if max_edge is not None and max_edge < 1:
        raise InputError(f"max_edge {max_edge}: edges have at least one step")
    partial = Partial(path, _request(source, prompts, seeds) | {"max_edge": max_edge})
    if path.exists():
        profile = load_profile(path)
        partial.check_profile(profile, jobs)
        partial.remove()
        progress(len(jobs), len(jobs))
        return profile
    with partial.open():
        _record_missing(source, jobs, partial, progress)
    partial.finish(jobs)
    return load_profile(path)


def profile_flow(velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Profile:
    """Profile a velocity function: the same measurements without a pipeline.

    Args:
        velocity: ``velocity(latents, sigma)``; gets latents of shape [1, …].
        noise: Initial latents, shape [samples, …], floating dtype.
        sigmas: Noise levels σ₀ … σ_T, length T + 1.

    Raises:
        InputError: ``noise`` holds no sample, or ``sigmas`` is no grid.
    """
    if noise.ndim < 1 or len(noise) == 0:
        raise InputError("noise holds no sample: give shape [samples, …]")
    grid = check_sigmas(sigmas)
    settings = ProfileSettings(
        sigmas=grid,
        dtype=str(noise.dtype).removeprefix("torch."),
        latent_shape=(1, *noise.shape[1:]),
        max_edge=len(grid) - 1,
        max_window=MAX_WINDOW,
        samples_total=len(noise),
        versions={"torch": torch.__version__},
    )
    measured = [
        measure(record_flow(velocity, sample[None], grid).velocities, grid, settings.index)
        for sample in noise
    ]
    numbers = range(len(noise))
    jobs = [Job(number=i, prompt_index=i, prompt="", seed=i) for i in numbers]
    return assemble(settings, jobs, measured, [0.0 for _ in numbers])


def _jobs(prompts: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    pairs = [(i, prompt, seed) for i, prompt in enumerate(prompts) for seed in seeds]
    return [Job(number, *pair) for number, pair in enumerate(pairs)]


def _record_missing(
    source: Source, jobs: Sequence[Job], partial: Partial, progress: Progress
) -> None:
    """Record and keep the samples that are not there yet."""
    progress(sum(map(partial.has, jobs)), len(jobs))
    for job in jobs:
        if not partial.has(job):
            trajectory, seconds = source.record(job.prompt, job.seed)
            partial.keep(job, trajectory, seconds)
            progress(sum(map(partial.has, jobs)), len(jobs))


def _request(source: Source, prompts: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """All settings that are known before the first run."""
    generation = source.generation()
    return {
        "model": source.identity(),
        "scheduler_config": source.scheduler_config(),
        "guidance": generation.guidance,
        "call": source.call_arguments(),
        "height": generation.height,
        "width": generation.width,
        "frames": generation.frames,
        "dtype": generation.dtype,
        "max_window": MAX_WINDOW,
        "prompts_sha256": digest(prompts),
        "seeds_sha256": digest(seeds),
        "samples_total": len(prompts) * len(seeds),
        "versions": source.versions(),
    }
