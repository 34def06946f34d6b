"""``compare``: the whole comparison in one call."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from meancache_plan.errors import InputError
from meancache_plan.fleet.crew import Crew, Once, crew_of
from meancache_plan.judge.compare.peers.few_step_solvers import flow
from meancache_plan.judge.compare.sweep import THOROUGH, Sweep, field
from meancache_plan.judge.conclusions import conclude
from meancache_plan.judge.contest import Contest, Rules
from meancache_plan.judge.evaluation_field import full_run
from meancache_plan.judge.figures import measured
from meancache_plan.judge.findings import Comparison
from meancache_plan.judge.rivals import check_rivals
from meancache_plan.judge.run_contest import Running
from meancache_plan.judge.sample_cost import forms
from meancache_plan.measure.calibrate import Progress
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.digest import sha256_of
from meancache_plan.source.diffusers.pipeline import Pipeline

RULES = Rules("comparison", "choose another --json file", open=True, libraries=("cache-dit",))


def compare(
    pipeline: Pipeline | Crew[Pipeline],
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    calibration: Sequence[str],
    *,
    rivals: Mapping[str, Schedule] | None = None,
    sweep: Sweep = THOROUGH,
    folder: Path | None = None,
    lpips: bool = False,
    progress: Progress = lambda done, total: None,
) -> Comparison:
    """Let a schedule's plans, other schedules, few-step solvers and caches make the same samples.

    Args:
        pipeline: The pipeline, not attached, with its settings; left as it was found. Or a crew
            whose workers have one each; each of them makes all of a sample's runs.
        schedule: What is judged, at all of its budgets unless the sweep says which.
        prompts: Held-out prompts.
        seeds: Seeds of the initial noise, each used with every prompt.
        calibration: Calibration prompts, for what contenders fit.
        rivals: Other schedules for the same steps, by the names of their rows.
        sweep: The settings of every contender.
        folder: Where finished samples are kept; a run that was interrupted goes on from there.
        lpips: Measure LPIPS too; see :func:`meancache_plan.judge.likeness.load_lpips`.
        progress: Told of each sample of each contender.

    Raises:
        InputError: There is no prompt or seed, a rival is for another model or number of steps,
            the full run fails, or the folder belongs to another comparison.
        BudgetError: A schedule has no plan for one of the budgets.
        MeanCacheError: The judged schedule does not fit the pipeline.
    """
    if not prompts or not seeds or not calibration:
        raise InputError("nothing to compare on: give prompts, seeds and calibration prompts")
    crew = crew_of(pipeline)
    held = Once(
        functools.partial(
            _contest,
            schedule,
            tuple(prompts),
            tuple(seeds),
            tuple(calibration),
            rivals or {},
            sweep,
            lpips,
        )
    )
    programme = crew.ask(lambda one: held(one).programme())
    calls = crew.ask(lambda one: forms(one, calibration[0], seeds[0]).calls)
    found = Running(programme, programme.journal(folder), (), progress).by(crew, held)
    return Comparison(
        schedule_sha256=sha256_of(schedule),
        steps=schedule.grid.steps,
        calls_per_step=calls,
        counted=min(sweep.counted, len(programme.jobs)),
        **conclude(programme, found),
    )


def _contest(
    schedule: Schedule,
    prompts: tuple[str, ...],
    seeds: tuple[int, ...],
    calibration: tuple[str, ...],
    rivals: Mapping[str, Schedule],
    sweep: Sweep,
    lpips: bool,
    pipeline: Pipeline,
) -> Contest:
    """A comparison with a pipeline, once it is known that all schedules fit it."""
    check_rivals(pipeline.pipe, schedule, sweep.budgets or (), rivals)
    found, steps = forms(pipeline, calibration[0], seeds[0]), schedule.grid.steps
    return Contest(
        pipeline=pipeline,
        full=full_run(steps),
        contenders=field(pipeline, schedule, calibration, found, rivals=rivals, sweep=sweep),
        prompts=prompts,
        seeds=seeds,
        rules=RULES,
        figures=measured(lpips),
        flow=flow(pipeline, calibration[0], sweep.finer * steps) if sweep.finer else None,
        counted=sweep.counted,
    )
