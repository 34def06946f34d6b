"""Judge a schedule by replaying it on held-out prompts, beside what one would use instead."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError, check_kind
from meancache_plan.fleet.crew import Alone, Crew, Once, crew_of
from meancache_plan.judge.conclusions import conclude
from meancache_plan.judge.contest import Contest, Rules
from meancache_plan.judge.evaluation_field import evaluation_field
from meancache_plan.judge.figures import measured
from meancache_plan.judge.findings import Evaluation
from meancache_plan.judge.frechet.frechet_measurement import FrechetSettings, Measurement
from meancache_plan.judge.other_requests import other_request
from meancache_plan.judge.picture_witnesses import Shots, Witness
from meancache_plan.judge.rivals import check_rivals
from meancache_plan.judge.run_contest import Running
from meancache_plan.measure.calibrate import Progress
from meancache_plan.schedule.artifact import Also, PlanEntry, Schedule
from meancache_plan.schedule.digest import sha256_of, unmeasured_sha256_of
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime.annotations import Value
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from meancache_runtime.hosts.diffusers.guiders import defaults

RULES = Rules("evaluation", "choose another place to write to")


def evaluate(
    pipeline: Pipeline | Crew[Pipeline],
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    budgets: Sequence[int] | None = None,
    rivals: Mapping[str, Schedule] | None = None,
    lpips: bool = False,
    frechet: FrechetSettings | None = None,
    baselines: bool = True,
    other: Mapping[str, Value] | None = None,
    shots: int = 0,
    witness: Witness | None = None,
    work: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Compare plans with their baselines, sample by sample, against the full run.

    For each prompt and seed: all T steps once, or as many as the run has that the plans aim at
    (the schedule's ``finer_steps``); then, for each budget and with as many denoiser
    refreshes as the plan has, the plan, uniform knots with ``hold``, uniform knots with ``adams``
    (order 2), and a plain run of fewer steps. They take turns within a sample, so that their
    timings suffer the same conditions.

    Args:
        pipeline: The pipeline, not attached, with its settings. Where these are other than what was
            calibrated, the result says in what. Or a crew whose workers have one each; each of them
            makes all of a sample's runs.
        schedule: What to judge.
        prompts: Held-out prompts, none of which the schedule was fitted on.
        seeds: Seeds of the initial noise, each used with every prompt.
        budgets: Which of the schedule's plans; all by default.
        rivals: Other schedules to judge beside it, by the name of their rows.
        lpips: Measure LPIPS too; see :func:`meancache_plan.judge.likeness.load_lpips`.
        frechet: Measure Fréchet distances too, of so many samples of everyone.
        baselines: Judge those beside the plans, too.
        other: What is other than in calibration and does not show in the pipeline, by names.
        shots: Keep the pictures of the first ``shots`` prompts (first seed) in the result.
        witness: Shown the pictures of every sample as it is made; see
            :class:`meancache_plan.judge.sample_folder.SampleFolder`.
        work: A folder for finished samples: the same call goes on where it was interrupted, and
            gives the same result but for seconds. Once that is written,
            :func:`meancache_plan.files.journal.drop` drops it.
        progress: Told after every sample.

    Raises:
        InputError: There is no prompt or seed, a rival is for another model or number of steps,
            a sample is not finite, ``work`` belongs to another evaluation, or see
            :class:`meancache_plan.judge.frechet.frechet_measurement.Measurement`.
        BudgetError: A schedule has no plan for one of the budgets.
        MeanCacheError: The pipeline does not fit the schedule; see ``meancache_runtime.attach``.
    """
    if not prompts or not seeds:
        raise InputError("nothing to evaluate on: give at least one prompt and one seed")
    crew = crew_of(pipeline)
    if frechet is not None and not isinstance(crew, Alone):
        raise InputError("Fréchet distances are measured by a single process: leave out --ray")
    request = crew.ask(lambda one: _other(one, schedule)) | dict(other or {})
    samples = tuple(prompts), tuple(seeds)
    held = Once(
        functools.partial(
            _contest, schedule, *samples, budgets, rivals or {}, lpips=lpips, baselines=baselines
        )
    )
    programme = crew.ask(lambda one: held(one).programme())
    measurement = None if frechet is None else crew.ask(lambda one: Measurement(one, frechet))
    journal = programme.journal(work)
    album = Shots(prompts[:shots], seeds[0], journal)
    witnesses = [album] if witness is None else [album, witness]
    found = Running(programme, journal, witnesses, progress).by(crew, held)
    return Evaluation(
        schedule_sha256=sha256_of(schedule),
        steps=schedule.grid.steps,
        finer_steps=schedule.grid.finer_steps,
        **conclude(programme, found),
        **crew.ask(lambda one: _request(one, request, prompts[0], seeds[0])),
        frechet=None
        if measurement is None
        else crew.ask(lambda one: measurement.run(held(one), journal)),
        shots=album.kept,
    )


def _contest(
    schedule: Schedule,
    prompts: tuple[str, ...],
    seeds: tuple[int, ...],
    budgets: Sequence[int] | None,
    rivals: Mapping[str, Schedule],
    pipeline: Pipeline,
    *,
    lpips: bool,
    baselines: bool,
) -> Contest:
    """An evaluation with a pipeline, once it is known that all schedules fit it."""
    check_rivals(pipeline.pipe, schedule, budgets or schedule.budgets, rivals)
    full, *contenders = evaluation_field(schedule, budgets, rivals, baselines=baselines)
    return Contest(
        pipeline=pipeline,
        full=full,
        contenders=tuple(contenders),
        prompts=prompts,
        seeds=seeds,
        rules=RULES,
        figures=measured(lpips),
        known={"schedule": unmeasured_sha256_of(schedule)},
    )


def _other(pipeline: Pipeline, schedule: Schedule) -> dict[str, Value]:
    """What shows in a pipeline to be other than in calibration."""
    pipe = pipeline.pipe
    return other_request(schedule, pipeline.generation(), adapters_in_effect(pipe), defaults(pipe))


def _request(
    pipeline: Pipeline, request: dict[str, Value], prompt: str, seed: int
) -> dict[str, Any]:
    """What is other than in calibration, and what a run shows of it."""
    if not request:
        return {}
    course = pipeline.course(prompt, seed)
    return {"request": request, "elements": course.noise[0].numel(), "calls": course.calls}


def with_measured(schedule: Schedule, *evaluations: Evaluation) -> Schedule:
    """The schedule with the measured quality noted in every plan that was evaluated.

    Raises:
        InputError: An evaluation is of another schedule.
    """
    check_kind("schedule", schedule, Schedule, "solve makes one")
    plans = schedule.plans
    for evaluation in evaluations:
        check_kind("evaluation", evaluation, Evaluation, "evaluate makes one")
        if evaluation.schedule_sha256 != sha256_of(schedule):
            raise InputError("the evaluation is of another schedule: evaluate this one")
        plans = tuple(_noted(plan, evaluation) for plan in plans)
    return schedule.model_copy(update={"plans": plans})


def _noted(plan: PlanEntry, evaluation: Evaluation) -> PlanEntry:
    measured = evaluation.plans().get(plan.budget)
    if measured is None:
        return plan
    if not evaluation.request:
        return plan.model_copy(update={"measured": measured})
    others = (each for each in plan.also if each.request != evaluation.request)
    found = Also(
        request=evaluation.request,
        elements=evaluation.elements,
        calls=evaluation.calls,
        measured=measured,
    )
    return plan.model_copy(update={"also": (*others, found)})
