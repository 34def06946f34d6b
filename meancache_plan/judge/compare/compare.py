"""``compare``: the whole comparison in one call."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from meancache_plan.errors import InputError
from meancache_plan.judge.compare.conclude import conclude
from meancache_plan.judge.compare.contest import Contest, run
from meancache_plan.judge.compare.cost import forms
from meancache_plan.judge.compare.field import THOROUGH, Sweep, field
from meancache_plan.judge.compare.peers.plans import sha256_of
from meancache_plan.judge.compare.peers.solvers import exact
from meancache_plan.judge.compare.result import Comparison
from meancache_plan.judge.rivals import check_rivals
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline


def compare(
    pipeline: Pipeline,
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    fitted: Sequence[str],
    *,
    rivals: Mapping[str, Schedule] | None = None,
    sweep: Sweep = THOROUGH,
    folder: Path | None = None,
    lpips: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Let a schedule's plans, other schedules, few-step solvers and caches make the same samples.

    Args:
        pipeline: The pipeline, not attached, with its settings; left as it was found.
        schedule: What is judged, at all of its budgets unless the sweep says which.
        prompts: Held-out prompts.
        seeds: Seeds of the initial noise, each used with every prompt.
        fitted: Calibration prompts, for what peers fit.
        rivals: Other schedules for the same steps, by the names of their rows.
        sweep: The settings of every peer.
        folder: Where finished samples are kept; a run that was interrupted goes on from there.
        lpips: Measure LPIPS too; see :func:`meancache_plan.judge.metrics.load_lpips`.
        progress: Told of each sample of each peer.

    Raises:
        InputError: There is no prompt or seed, a rival is for another model or number of steps,
            the full run fails, or the folder belongs to another comparison.
        BudgetError: A schedule has no plan for one of the budgets.
        MeanCacheError: The judged schedule does not fit the pipeline.
    """
    if not prompts or not seeds or not fitted:
        raise InputError("nothing to compare on: give prompts, seeds and calibration prompts")
    check_rivals(pipeline.pipe, schedule, sweep.budgets or (), rivals or {})
    found = forms(pipeline, fitted[0], seeds[0])
    steps = schedule.grid.steps
    contest = Contest(
        pipeline=pipeline,
        steps=steps,
        peers=field(pipeline, schedule, fitted, found, rivals=rivals, sweep=sweep),
        prompts=tuple(prompts),
        seeds=tuple(seeds),
        exact=exact(pipeline, fitted[0], sweep.finer * steps) if sweep.finer else None,
        folder=folder,
        lpips=lpips,
        counted=sweep.counted,
        progress=progress,
    )
    return conclude(contest, run(contest), sha256_of(schedule), found.calls)
