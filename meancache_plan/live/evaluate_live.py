"""Judge a schedule with the pipeline that one holds."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from meancache_plan.errors import check_kind
from meancache_plan.files.atomic import write_atomically
from meancache_plan.files.journal import beside, drop
from meancache_plan.judge.findings import Evaluation
from meancache_plan.live.asked_samples import SCHEDULE, check_samples, output
from meancache_plan.live.progress import Progress, watched
from meancache_plan.schedule.artifact import Schedule


def evaluate(
    pipe: Any,
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int] = (0,),
    *,
    call: Mapping[str, Any] | None = None,
    budgets: Sequence[int] | None = None,
    rivals: Mapping[str, Schedule] | None = None,
    lpips: bool = False,
    frechet: int | None = None,
    frechet_to: str | PathLike[str] | None = None,
    batch: int = 1,
    also: bool = False,
    path: str | PathLike[str] | None = None,
    progress: Progress = False,
) -> Evaluation:
    """Replay a schedule's plans beside what one would use instead of each, and compare.

    Args:
        pipe: A pipeline of the model that the schedule is for, as for ``calibrate``, not attached.
        schedule: What to judge.
        prompts: Held-out ones, none of which the schedule was fitted on.
        seeds: Seeds of the initial noise, each used with every prompt.
        call: The same that it was calibrated with; with ``also``, another.
        budgets: Which of the schedule's plans; all by default.
        rivals: Other schedules to judge beside it, by the name of their rows.
        lpips: Measure LPIPS too, which downloads a network.
        frechet: Measure Fréchet distances too, of so many samples of every method: with Inception's
            features if torch-fidelity and its weights are here (an FID), else with those of the
            pipeline's own autoencoder. See :mod:`meancache_plan.core.frechet`.
        frechet_to: A folder of pictures that the distances are to; by default as many further full
            samples, of other seeds.
        batch: Samples a pipeline call, of those: more use more memory, and may be faster.
        also: Judge the plans alone at another request than they were made for; ``with_measured``
            notes what is found beside their own quality, and the runtime then knows this request.
        path: Write all figures there, as JSON, and keep finished samples beside it: the same call
            goes on where it was interrupted. Without it nothing is kept.
        progress: True for a bar on standard error, or a function of (samples done, in all).

    Raises:
        InputError: An argument is not valid, or the call is not what the schedule was made for.
        BudgetError: A schedule has no plan for one of the budgets.
        MeanCacheError: The pipeline does not fit the schedule.
    """
    from meancache_plan.judge import evaluate as judging
    from meancache_plan.judge.frechet.frechet_measurement import frechet_settings
    from meancache_plan.source.diffusers.live_pipeline import at_hand, check_call

    check_kind("schedule", schedule, Schedule, SCHEDULE)
    for name, rival in (rivals or {}).items():
        check_kind(f"rival {name}", rival, Schedule, SCHEDULE)
    texts, numbers = check_samples(prompts, seeds)
    with output(path) as file, watched(progress) as watch:
        to = None if frechet_to is None else Path(frechet_to)
        wanted = frechet_settings(frechet, to, batch, watch)
        source = at_hand(pipe, call)
        if not also:
            check_call(source, schedule)
        result = judging.evaluate(
            source,
            schedule,
            texts,
            numbers,
            budgets=budgets,
            rivals=rivals,
            lpips=lpips,
            frechet=wanted,
            baselines=not also,
            work=beside(file),
            progress=watch("evaluating"),
        )
        write_atomically(file, result.to_json().encode())
        drop(beside(file))
    return result
