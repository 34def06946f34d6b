"""Judge a schedule by replaying it on held-out prompts, beside what one would use instead."""

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from meancache_plan.core.psnr import latent_range
from meancache_plan.errors import InputError
from meancache_plan.judge import metrics
from meancache_plan.judge.contenders import Contender, contenders
from meancache_plan.judge.figures import Figures, summed_up
from meancache_plan.judge.finished import Finished, settings
from meancache_plan.judge.match import Field, Match
from meancache_plan.judge.match import replay as replay
from meancache_plan.judge.result import Evaluation, Row
from meancache_plan.judge.rivals import check_rivals
from meancache_plan.judge.witness import Shots, Witness
from meancache_plan.schedule.artifact import Measured, PlanEntry, Schedule, to_bytes
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import digest
from meancache_plan.version import __version__

Progress = Callable[[int, int], None]
"""Called with (samples finished, samples in all)."""


def evaluate(
    pipeline: Pipeline,
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    budgets: Sequence[int] | None = None,
    rivals: Mapping[str, Schedule] | None = None,
    lpips: bool = False,
    shots: int = 0,
    witness: Witness | None = None,
    work: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Compare plans with their baselines, sample by sample, against the full trajectory.

    For each prompt and seed: all T steps once, or as many as the run has that the plans aim at
    (the schedule's ``finer_steps``); then, for each budget and with as many denoiser
    refreshes as the plan has, the plan, uniform knots with ``hold``, uniform knots with ``adams``
    (order 2), and a plain run of fewer steps. They take turns within a sample, so that their
    timings suffer the same conditions.

    Args:
        pipeline: The pipeline, not attached, with its settings.
        schedule: What to judge.
        prompts: Held-out prompts, none of which the schedule was fitted on.
        seeds: Seeds of the initial noise, each used with every prompt.
        budgets: Which of the schedule's plans; all by default.
        rivals: Other schedules to judge beside it, by the name of their rows.
        lpips: Measure LPIPS too; see :func:`meancache_plan.judge.metrics.load_lpips`.
        shots: Keep the pictures of the first ``shots`` prompts (first seed) in the result.
        witness: Shown the pictures of every sample as it is made; see
            :class:`meancache_plan.judge.pictures.SampleFolder`.
        work: A folder for finished samples: the same call goes on where it was interrupted, and
            gives the same result but for seconds. Once that is written,
            :func:`meancache_plan.judge.finished.forget` drops it.
        progress: Told after every sample.

    Raises:
        InputError: There is no prompt or seed, a rival is for another model or number of steps,
            a sample is not finite, or ``work`` belongs to another evaluation.
        BudgetError: A schedule has no plan for one of the budgets.
        MeanCacheError: The pipeline does not fit the schedule; see ``meancache_runtime.attach``.
    """
    if not prompts or not seeds:
        raise InputError("nothing to evaluate on: give at least one prompt and one seed")
    check_rivals(pipeline.pipe, schedule, budgets or schedule.budgets, rivals or {})
    entrants = contenders(schedule, budgets, rivals)
    judges = _judges(lpips)
    facts = {"device": _device(pipeline.device), "versions": _versions(pipeline)}
    known = settings(pipeline, schedule, prompts, seeds, {**facts, "metrics": list(judges)})
    album = Shots(prompts[:shots], seeds[0], work)
    witnesses = [album] if witness is None else [album, witness]
    field = Field(pipeline, entrants, judges, Finished(work, known), witnesses)
    figures = _compete(field, [(prompt, seed) for prompt in prompts for seed in seeds], progress)
    value_range = latent_range([f.moments for f in figures[entrants[0]] if f.moments])
    return Evaluation(
        model=pipeline.identity(),
        schedule_sha256=_sha256(schedule),
        steps=schedule.grid.steps,
        finer_steps=schedule.grid.finer_steps,
        prompts_sha256=digest(prompts),
        prompts=len(prompts),
        seeds=tuple(seeds),
        latent_range=value_range,
        device=_device(pipeline.device),
        versions=_versions(pipeline),
        rows=_rows(figures, value_range, len(prompts)),
        shots=album.kept,
    )


def _compete(
    field: Field, jobs: Sequence[tuple[str, int]], progress: Progress
) -> dict[Contender, list[Figures]]:
    """Every contender's figures, one a prompt and seed."""
    figures: dict[Contender, list[Figures]] = {contender: [] for contender in field.entrants}
    done, total = 0, len(jobs) * len(field.entrants)
    for prompt, seed in jobs:
        match = Match(field, prompt, seed)
        for contender, found in figures.items():
            found.append(match.figures(contender))
            done += 1
            progress(done, total)
    return figures


def _judges(lpips: bool) -> dict[str, metrics.PictureMetric]:
    """What is measured of pictures, by name."""
    found: dict[str, metrics.PictureMetric] = {
        "psnr": metrics.picture_psnr,
        "ssim": metrics.ssim,
        "flip": metrics.flip,
    }
    return {**found, "lpips": metrics.load_lpips()} if lpips else found


def _rows(
    figures: Mapping[Contender, Sequence[Figures]], value_range: float, prompts: int
) -> tuple[Row, ...]:
    full = next(iter(figures.values()))
    seconds = float(np.mean([each.seconds for each in full]))
    return tuple(
        summed_up(contender, found, value_range, prompts, seconds)
        for contender, found in figures.items()
    )


def _versions(pipeline: Pipeline) -> dict[str, str]:
    """Of everything that decides a figure."""
    others = ("torchmetrics", "flip-evaluator")
    named = {name: importlib.metadata.version(name) for name in others}
    return {"meancache-plan": __version__, **pipeline.versions(), **named}


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _sha256(schedule: Schedule) -> str:
    return "sha256:" + hashlib.sha256(to_bytes(schedule)).hexdigest()


def with_measured(schedule: Schedule, evaluation: Evaluation) -> Schedule:
    """The schedule with the measured quality noted in every plan that was evaluated.

    Raises:
        InputError: The evaluation is of another schedule.
    """
    if evaluation.schedule_sha256 != _sha256(schedule):
        raise InputError("the evaluation is of another schedule: evaluate this one")
    found = {row.budget: row for row in evaluation.rows if row.method == "plan"}

    def note(plan: PlanEntry) -> PlanEntry:
        row = found.get(plan.budget)
        if row is None:
            return plan
        measured = Measured(
            psnr_latent=row.psnr_latent,
            psnr=row.psnr,
            ssim=row.ssim,
            speedup=row.speedup,
            samples=row.samples,
            prompts=evaluation.prompts_sha256,
        )
        return plan.model_copy(update={"measured": measured})

    return schedule.model_copy(update={"plans": tuple(note(plan) for plan in schedule.plans)})
