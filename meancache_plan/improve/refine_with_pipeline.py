"""Refine a schedule with the pipeline that it is for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError, check_whole
from meancache_plan.files.atomic import check_writable
from meancache_plan.files.differing_settings import differences
from meancache_plan.files.journal import Journal, beside
from meancache_plan.fleet.crew import Crew, crew_of
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.improve.refine import refine
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.reliability import with_reliability
from meancache_plan.schedule.artifact import Schedule, load_schedule
from meancache_plan.schedule.pruning import prune
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.full_runs import FullRuns
from meancache_plan.source.recipe import digest, parse_numbers, read_prompts
from meancache_plan.version import __version__
from meancache_runtime.strict_json import shorten

Watch = Callable[[str], Callable[[int, int], None]]
"""Name of a piece of work → what to tell (done, in all) while it lasts."""


def refine_with(
    pipeline: Pipeline | Crew[Pipeline],
    profile: Profile,
    schedule: Schedule,
    path: Path,
    *,
    limit: int | None = None,
    batch: int = 1,
    runs: Path | None = None,
    watch: Watch = lambda work: lambda done, total: None,
) -> Schedule:
    """Refine the plans of every budget on the recipe's calibration prompts, first seed.

    Budgets that a smaller one makes useless are left out, as ``solve`` leaves them out; and where
    the schedule tells how reliable its calibration is, so does the refined one.

    Args:
        pipeline: The model that the profile was measured on; or a crew whose workers have it.
        profile: What the schedule was solved from.
        schedule: What to refine.
        path: The schedule's file; work is kept in ``PATH.unfinished/``.
        limit: Use this many prompts, spread evenly over the list; all by default.
        batch: Samples a pipeline call: more use more memory, and may be faster.
        runs: A folder in which calibration kept full runs: these are not made again.
        watch: Asked for a listener for each piece of work.

    Raises:
        InputError: The path cannot be written, or unfinished work there is of another refinement;
            ``runs`` has none of these samples; the pipeline is not the profile's, or a number is
            out of range; or see
            :func:`meancache_plan.improve.refine.refine`.
    """
    if limit is not None and limit < 2:
        raise InputError(f"limit {limit}: give at least 2 prompts to refine on")
    recipe = crew_of(pipeline).ask(lambda one: one.recipe)
    prompts = read_prompts(recipe.prompts)
    _check_same("prompts", digest(prompts), profile.settings.prompts_sha256)
    chosen = evenly(prompts, limit or len(prompts))
    seeds = parse_numbers(recipe.seeds, "seeds")[:1]
    return refine_on(
        pipeline, profile, schedule, chosen, seeds, path, batch=batch, runs=runs, watch=watch
    )


def refine_on(
    pipeline: Pipeline | Crew[Pipeline],
    profile: Profile,
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    path: Path,
    *,
    batch: int = 1,
    runs: Path | None = None,
    watch: Watch = lambda work: lambda done, total: None,
) -> Schedule:
    """The same on these samples, every prompt with every seed; calibration's own.

    Raises:
        InputError: As :func:`refine_with`.
    """
    check_writable(path)
    check_whole("batch", batch, 1)
    crew = crew_of(pipeline)
    crew.ask(lambda one: _check_model(one, profile))
    settings = crew.ask(lambda one: _settings(one, profile, prompts, seeds))
    journal = Journal(beside(path), settings, "refinement", "choose another file")
    ensemble = PipelineEnsemble(
        crew,
        prompts,
        seeds,
        journal,
        known=None if runs is None else _kept(runs, profile, crew),
        batch=batch,
        finer_steps=profile.settings.finer_steps,
        progress=watch("recording"),
    )
    refined = refine(
        profile,
        schedule,
        ensemble,
        journal,
        published=_published(profile.settings.run_steps),
        recorded=ensemble.recorded,
        progress=watch("refining"),
    )
    told = schedule.calibrated is not None and schedule.calibrated.reliability is not None
    return with_reliability(profile, prune(refined)) if told else prune(refined)


def _settings(
    pipeline: Pipeline, profile: Profile, prompts: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    """All that a finished part of refining depends on, as JSON values."""
    return {
        "tool": __version__,
        "profile": profile.fingerprint,
        "model": pipeline.identity().model_dump(mode="json"),
        "recipe": pipeline.recipe.model_dump(mode="json"),
        "call": pipeline.call_arguments(),
        "versions": pipeline.versions(),
        "prompts": digest(prompts),
        "seeds": list(seeds),
    }


def _kept(folder: Path, profile: Profile, crew: Crew[Pipeline]) -> FullRuns:
    """The profile's full runs, for a pipeline that would make them in the same dtype."""
    dtype = crew.ask(lambda one: one.recipe.dtype)
    _check_same("dtype", dtype, profile.settings.dtype)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder: give the one in which calibrate kept full runs")
    return FullRuns.within(folder, profile.settings.full_run)


def _published(steps: int) -> dict[str, Schedule]:
    """The bundled schedules that fit any grid of so many steps: plans that others published."""
    found = {name: load_schedule(file) for name, file in catalog.schedule_files().items()}
    return {
        name: schedule
        for name, schedule in found.items()
        if schedule.grid.sigmas is None and schedule.grid.steps == steps
    }


def _check_model(pipeline: Pipeline, profile: Profile) -> None:
    """Refuse to refine a schedule on another model, or another call, than was calibrated."""
    here, there = pipeline.identity(), profile.settings.model
    _check_same("fingerprint", here.fingerprint, there.fingerprint if there else None)
    _check_same("revision", here.revision, there.revision if there else None)
    _check_same("call", pipeline.call_arguments(), profile.settings.call)


def _check_same(name: str, mine: object, theirs: object) -> None:
    """Refuse what is known to differ from the profile's."""
    if theirs is None or mine is None:
        return
    for apart in differences({name: theirs}, {name: mine}):
        raise InputError(
            f"this pipeline is not the one that the profile was measured on: {apart.name} is "
            f"{shorten(str(apart.here))} here, {shorten(str(apart.there))} there; refine with that "
            "model, recipe and prompts, or calibrate this one"
        )
