"""Measure full-step trajectories into a profile: durable, resumable, divisible."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import safetensors.numpy
import torch
from accelerate import PartialState
from torch import Tensor

from meancache_plan.artifact import Generation, ModelIdentity
from meancache_plan.errors import InputError
from meancache_plan.files import write_atomically
from meancache_plan.grid import check_sigmas
from meancache_plan.profile import (
    Profile,
    ProfileSettings,
    SampleMeasurement,
    load_profile,
    measure,
    save_profile,
)
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


class Job(NamedTuple):
    """One sample to record: its place in prompts × seeds (prompt-major), and what it is."""

    number: int
    prompt_index: int
    prompt: str
    seed: int


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
    measured seconds). Under ``accelerate launch`` the processes share the samples.

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
    if not path.parent.is_dir():
        raise InputError(f"{path}: the directory {path.parent} does not exist: make it first")
    request = _request(source, prompts, seeds) | {"max_edge": max_edge}
    store = _Store(path.with_name(path.name + ".partial"), request)
    if path.exists():
        profile = load_profile(path)
        store.check_profile(profile, jobs)
        progress(len(jobs), len(jobs))
        return profile
    state = PartialState()
    _record_missing(source, jobs, store, progress)
    state.wait_for_everyone()
    if state.is_main_process:
        save_profile(store.assemble(jobs), path)
        store.remove()
    state.wait_for_everyone()
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
    return _profile(settings, jobs, measured, [0.0 for _ in numbers])


def _jobs(prompts: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    pairs = [(i, prompt, seed) for i, prompt in enumerate(prompts) for seed in seeds]
    return [Job(number, *pair) for number, pair in enumerate(pairs)]


def _record_missing(
    source: Source, jobs: Sequence[Job], store: "_Store", progress: Progress
) -> None:
    """Record and keep this process's share of the samples that are not there yet."""
    state = PartialState()
    todo = [job for job in jobs if not store.has(job)]
    progress(len(jobs) - len(todo), len(jobs))
    for job in todo[state.process_index :: state.num_processes]:
        trajectory, seconds = source.record(job.prompt, job.seed)
        store.keep(job, trajectory, seconds)
        progress(sum(map(store.has, jobs)), len(jobs))


class _Store:
    """Finished samples of a calibration that is under way: one file each, written at once."""

    def __init__(self, folder: Path, request: dict[str, Any]) -> None:
        self.folder = folder
        self._request = request
        self._header = folder / "settings.json"
        self._settings = self._read_settings()

    def has(self, job: Job) -> bool:
        """Whether this sample is done."""
        return self._file(job).exists()

    def keep(self, job: Job, trajectory: Trajectory, seconds: float) -> None:
        """Measure a sample and keep it."""
        settings = self._complete(trajectory)
        if self._settings is None:
            trajectory.check_euler()
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._header, settings.model_dump_json(indent=1).encode())
            self._settings = settings
        self._check(settings, self._settings)
        found = measure(trajectory.velocities, settings.sigmas, settings.index)
        tensors = {"gram": found.gram, "l1": found.l1, "seconds": np.array([seconds])}
        write_atomically(self._file(job), safetensors.numpy.save(tensors))

    def assemble(self, jobs: Sequence[Job]) -> Profile:
        """The profile of these samples, all of which are done."""
        assert self._settings is not None  # there is a sample, and keep() wrote the settings
        loaded = [safetensors.numpy.load(self._file(job).read_bytes()) for job in jobs]
        measured = [SampleMeasurement(item["gram"], item["l1"]) for item in loaded]
        return _profile(
            self._settings, jobs, measured, [float(item["seconds"][0]) for item in loaded]
        )

    def remove(self) -> None:
        """Forget the finished samples: they are in the profile now."""
        shutil.rmtree(self.folder)

    def check_profile(self, profile: Profile, jobs: Sequence[Job]) -> None:
        """Refuse a finished profile of another calibration."""
        settings = self._complete_like(profile.settings)
        self._check(settings, profile.settings)
        if [job.number for job in jobs] != profile.sample_index.tolist():
            raise InputError(
                f"{self.folder.with_suffix('')}: holds other samples of this calibration "
                "(another shard?); choose another file with -o, or delete it"
            )

    def _file(self, job: Job) -> Path:
        return self.folder / f"{job.number:06d}.safetensors"

    def _read_settings(self) -> ProfileSettings | None:
        if not self._header.exists():
            return None
        try:
            settings = ProfileSettings.model_validate_json(self._header.read_bytes())
        except ValueError as error:
            raise InputError(
                f"{self._header}: not readable; delete {self.folder} to start afresh"
            ) from error
        self._check(self._complete_like(settings), settings)
        return settings

    def _complete(self, trajectory: Trajectory) -> ProfileSettings:
        """The requested settings, with what only a run tells: its grid and its latents' shape."""
        return self._with(trajectory.sigmas, tuple(trajectory.latents.shape[1:]))

    def _complete_like(self, settings: ProfileSettings) -> ProfileSettings:
        return self._with(settings.sigmas, settings.latent_shape)

    def _with(self, sigmas: tuple[float, ...], latent_shape: tuple[int, ...]) -> ProfileSettings:
        longest = self._request["max_edge"] or len(sigmas) - 1
        measured = {"sigmas": sigmas, "latent_shape": latent_shape, "max_edge": longest}
        return ProfileSettings.model_validate({**self._request, **measured})

    def _check(self, wanted: ProfileSettings, found: ProfileSettings) -> None:
        """Refuse to mix two calibrations."""
        for name in ProfileSettings.model_fields:
            if getattr(wanted, name) != getattr(found, name):
                raise InputError(
                    f"{self.folder.with_suffix('')}: belongs to another calibration: {name} is "
                    f"{_short(getattr(found, name))} there and {_short(getattr(wanted, name))} "
                    "here; choose another file with -o, or delete it and its .partial folder"
                )


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


def _profile(
    settings: ProfileSettings,
    jobs: Sequence[Job],
    measured: Sequence[SampleMeasurement],
    seconds: Sequence[float],
) -> Profile:
    return Profile(
        settings=settings,
        sample_index=np.array([job.number for job in jobs], dtype=np.int64),
        prompt_index=np.array([job.prompt_index for job in jobs], dtype=np.int64),
        seeds=np.array([job.seed for job in jobs], dtype=np.int64),
        grams=np.stack([sample.gram for sample in measured]),
        l1=np.stack([sample.l1 for sample in measured]),
        seconds=np.array(seconds, dtype=np.float64),
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
