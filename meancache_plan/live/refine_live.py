"""Refine a schedule with the pipeline that one holds."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from meancache_plan.errors import check_kind
from meancache_plan.files.journal import beside, drop
from meancache_plan.live.asked_samples import PROFILE, SCHEDULE, check_samples, output
from meancache_plan.live.progress import Progress, watched
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import Schedule, save_schedule


def refine(
    pipe: Any,
    schedule: Schedule,
    profile: Profile,
    prompts: Sequence[str],
    seeds: Sequence[int] = (0,),
    *,
    call: Mapping[str, Any] | None = None,
    path: str | PathLike[str] | None = None,
    batch: int = 1,
    runs: str | PathLike[str] | None = None,
    progress: Progress = False,
) -> Schedule:
    """Try knots and fit gains for every budget of a schedule, and keep what replays best.

    Args:
        pipe: The pipeline that was calibrated, as for ``calibrate``, not attached.
        schedule: What ``solve`` made of the profile.
        profile: What the pipeline was calibrated into.
        prompts: Two or more of calibration's own, never held-out ones.
        seeds: Seeds of the initial noise, each used with every prompt.
        call: The same that it was calibrated with.
        path: Write the schedule there, and keep finished work beside it: the same call goes on
            where it was interrupted. Without it nothing is kept.
        batch: Samples a pipeline call: more use more memory, and may be faster.
        runs: The folder that ``calibrate`` kept full runs in: they are not made again.
        progress: True for bars on standard error, or a function of (done, in all).

    Raises:
        InputError: An argument is not valid, ``runs`` holds no run of these samples, the pipeline
            or its call is not what was calibrated, or the schedule was not solved from the profile.
        BeatenError: At no budget a plan is better than simply fewer steps.
    """
    from meancache_plan.improve.refine_with_pipeline import refine_on
    from meancache_plan.source.diffusers.live_pipeline import at_hand

    check_kind("schedule", schedule, Schedule, SCHEDULE)
    check_kind("profile", profile, Profile, PROFILE)
    texts, numbers = check_samples(prompts, seeds)
    with output(path) as file, watched(progress) as watch:
        pipeline = at_hand(pipe, call)
        refined = refine_on(
            pipeline,
            profile,
            schedule,
            texts,
            numbers,
            file,
            batch=batch,
            runs=None if runs is None else Path(runs),
            watch=watch,
        )
        save_schedule(refined, file)
        drop(beside(file))
    return refined
