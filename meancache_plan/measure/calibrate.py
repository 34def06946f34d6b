"""Measure a source's full runs into a profile: durable, resumable, divisible."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from meancache_plan.core.propagation import Finish
from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError
from meancache_plan.files.journal import beside
from meancache_plan.fleet.crew import Crew, crew_of
from meancache_plan.measure.partial_profile import Job, MeasuredSample, Partial, measured
from meancache_plan.measure.profile import Profile, load_profile
from meancache_plan.measure.profile_settings import MAX_WINDOW, MEASURING, Measuring
from meancache_plan.measure.shards import Shard
from meancache_plan.schedule.provenance import Command
from meancache_plan.source.any_device import on_any_device
from meancache_plan.source.full_runs import FullRuns, check_folder
from meancache_plan.source.protocols import Source
from meancache_plan.source.recipe import digest

Progress = Callable[[int, int], None]
"""Called with (done, in all): samples, one peer's each where several compete, or the denoiser
refreshes that refining spends."""


def calibrate(
    source: Source | Crew[Source],
    prompts: Sequence[str],
    seeds: Sequence[int],
    path: Path,
    how: Measuring = MEASURING,
    *,
    shard: Shard | None = None,
    any_device: bool = False,
    runs: Path | None = None,
    command: Command | None = None,
    progress: Progress = lambda done, total: None,
) -> Profile:
    """Record every prompt with every seed, measure, and write the profile to ``path``.

    Every finished sample is kept in ``PATH.unfinished/``; a run that was interrupted at any moment
    goes on from there, and its profile equals an uninterrupted one's bit for bit (except for the
    measured seconds). To use several devices, give each a ``shard`` and merge the profiles.

    Args:
        source: The pipeline, with its settings; or a crew whose workers have one each.
        prompts: Texts, at least one.
        seeds: Seeds of the initial noise, at least one.
        path: The profile's file.
        how: How they are measured.
        shard: Which part of the samples to record; all by default.
        any_device: Let devices of other kinds go on with it or share it; the profile notes ``any``
            in place of the kind.
        runs: A folder to keep the full runs of the first seed in, which refinement needs: T + 1
            latents a sample. Shards may share it. What was measured before is not run again for it.
        command: What is noted in the profile of how it is made, for schedules to tell.
        progress: Told after every sample.

    Raises:
        InputError: ``path`` or ``runs`` cannot be written, the former or its partial results belong
            to another calibration, it is finished and ``runs`` holds nothing of it, there is
            nothing to record, the finer run does not fit the recipe's grid, or the source cannot
            make samples in batches.
    """
    part = shard or Shard()
    jobs = _jobs(prompts, seeds)[part.number - 1 :: part.count]
    if not jobs:
        raise InputError(
            f"this shard holds none of the {len(prompts) * len(seeds)} samples: divide into "
            "fewer shards"
        )
    request = functools.partial(
        _request,
        prompts=prompts,
        seeds=seeds,
        how=how,
        any_device=any_device,
        command=command,
    )
    crew = crew_of(source)
    partial = Partial(path, crew.ask(request))
    keep = None if runs is None else _Keep.of(path, runs, seeds[0])
    if path.exists():
        profile = load_profile(path)
        partial.check_profile(profile, jobs)
        if keep is not None:
            keep.check_kept(profile, jobs, path)
        partial.remove()
        progress(len(jobs), len(jobs))
        return profile
    _measure_missing(crew, jobs, partial, request, how.batch, keep, progress)
    partial.finish(jobs)
    return load_profile(path)


def _jobs(prompts: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    pairs = [(i, prompt, seed) for i, prompt in enumerate(prompts) for seed in seeds]
    return [Job(number, *pair) for number, pair in enumerate(pairs)]


class Batch(NamedTuple):
    """Samples that are recorded together, always; those that are not known yet are measured."""

    jobs: list[Job]
    missing: list[Job]

    def __str__(self) -> str:
        return ", ".join(f"{job.prompt!r} with seed {job.seed}" for job in self.missing)


def _measure_missing(
    crew: Crew[Source],
    jobs: Sequence[Job],
    partial: Partial,
    request: Callable[[Source], dict[str, Any]],
    batch: int,
    keep: "_Keep | None",
    progress: Progress,
) -> None:
    """Have the samples measured that are not there yet, each in the batch that is always its."""
    missing = [job for job in jobs if not partial.has(job)]
    done = len(jobs) - len(missing)
    progress(done, len(jobs))
    together = [jobs[start : start + batch] for start in range(0, len(jobs), batch)]
    batches = [Batch([*each], [job for job in each if job in missing]) for each in together]
    units = [each for each in batches if each.missing]
    seed = None if keep is None else keep.seed
    for _, sample in crew.do(functools.partial(_measuring, request=request, kept=seed), units):
        if keep is not None:
            keep(sample)
        partial.keep(sample)
        done += 1
        progress(done, len(jobs))


class _Keep(NamedTuple):
    """Keeps the full runs of one seed in a folder."""

    folder: Path
    seed: int

    @classmethod
    def of(cls, path: Path, folder: Path, seed: int) -> "_Keep":
        """The same, while a profile is made at ``path``.

        Raises:
            InputError: It is made in this folder; or see :func:`check_folder`.
        """
        if folder.resolve() in (path.resolve(), beside(path).resolve()):
            raise InputError(
                f"{folder}: is where the profile is made: give another folder for full runs"
            )
        check_folder(folder)
        return cls(folder, seed)

    def __call__(self, sample: MeasuredSample) -> None:
        if sample.latents is not None:
            runs, job = FullRuns.within(self.folder, sample.settings.full_run), sample.job
            runs.keep(job.prompt, job.seed, sample.settings.sigmas, sample.latents)

    def check_kept(self, profile: Profile, jobs: Sequence[Job], path: Path) -> None:
        """Refuse a finished profile if none of its runs that were to be kept is."""
        runs = FullRuns.within(self.folder, profile.settings.full_run)
        wanted = [job for job in jobs if job.seed == self.seed]
        if wanted and not any(runs.find(job.prompt, job.seed) for job in wanted):
            raise InputError(
                f"{path}: is finished, and {self.folder} holds none of its full runs: delete the "
                "profile to measure again and keep them, or ask for none"
            )


def _measuring(
    source: Source, *, request: Callable[[Source], dict[str, Any]], kept: int | None
) -> Callable[[Batch], Iterator[MeasuredSample]]:
    """What measures batches with a source; with the latents of the seed that is kept."""
    settings = request(source)
    unchecked = True

    def measure_missing(batch: Batch) -> Iterator[MeasuredSample]:
        nonlocal unchecked
        trajectories, seconds = _recorded(source, batch.jobs, settings["finer_steps"])
        for job, trajectory in zip(batch.jobs, trajectories, strict=True):
            if unchecked:
                trajectory.check_euler()
                unchecked = False
            if job in batch.missing:
                sample = measured(settings, job, trajectory, seconds, _finish(source, job))
                if job.seed == kept:  # alone, without the rest of its batch
                    sample = sample._replace(latents=trajectory.latents.cpu().contiguous())
                yield sample

    return measure_missing


def _recorded(
    source: Source, jobs: Sequence[Job], finer_steps: int | None
) -> tuple[list[Trajectory], float]:
    """Record samples in one call; the seconds of a refresh are one sample's share."""
    if len(jobs) > 1:
        prompts, seeds = [job.prompt for job in jobs], [job.seed for job in jobs]
        return source.record_batch(prompts, seeds, finer_steps=finer_steps)
    trajectory, seconds = source.record(jobs[0].prompt, jobs[0].seed, finer_steps=finer_steps)
    return [trajectory], seconds


def _finish(source: Source, job: Job) -> Finish:
    """Run the last steps of a sample from other latents."""
    return lambda step, latents: source.resume(job.prompt, job.seed, step, latents).latents[-1]


def _request(
    source: Source,
    *,
    prompts: Sequence[str],
    seeds: Sequence[int],
    how: Measuring,
    any_device: bool,
    command: Command | None,
) -> dict[str, Any]:
    """All settings that are known before the first run."""
    generation = source.generation()
    asked = generation.model_dump(exclude={"elements", "calls"})  # which a run tells
    return {
        **asked,
        "model": source.identity(),
        "scheduler_config": source.scheduler_config(),
        "call": source.call_arguments(),
        "num_inference_steps": source.num_inference_steps(),
        "max_window": MAX_WINDOW,
        "prompts_sha256": digest(prompts),
        "seeds_sha256": digest(seeds),
        "samples_total": len(prompts) * len(seeds),
        "versions": on_any_device(source.versions()) if any_device else source.versions(),
        "command": command,
        **asdict(how),
    }
