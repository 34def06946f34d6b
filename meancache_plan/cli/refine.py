"""``refine``: try knots and fit gains for a schedule's budgets, and keep what replays best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meancache_plan.cli.loading_options import Loading, Overrides
from meancache_plan.cli.noted_commands import commands_of, given, note, noted
from meancache_plan.cli.ray_options import Fleet, Gang, GpusPerWorker, Parallel, Ray, Workers
from meancache_plan.cli.shared_options import (
    PROFILE,
    AnyDevice,
    Batch,
    Device,
    Offload,
    Prompts,
    RecipeName,
)
from meancache_plan.show.terminal.console import display, resumable, say, watching

if TYPE_CHECKING:
    from meancache_plan.schedule.artifact import Schedule


def refine(
    context: typer.Context,
    schedule: Annotated[
        Path, typer.Argument(help="The schedule that solve wrote: its file or folder.")
    ] = Path("schedule.json"),
    *,
    model: Annotated[
        str,
        typer.Option(help="The calibrated pipeline: directory, hub id, or 'reference'."),
    ],
    profile: Annotated[
        Path | None,
        typer.Option(
            help=f"The profile that the schedule was solved from; by default {PROFILE}, here or "
            "beside the schedule.",
        ),
    ] = None,
    recipe: RecipeName = None,
    prompts: Prompts = None,
    limit: Annotated[
        int | None,
        typer.Option(min=2, help="Use only this many of the calibration prompts; all by default."),
    ] = None,
    batch: Batch = 1,
    runs: Annotated[
        Path | None,
        typer.Option(
            help="The folder that calibrate --runs kept full runs in: they are not made again.",
        ),
    ] = None,
    min_psnr: Annotated[
        float | None,
        typer.Option(
            help="Keep only the smallest budget whose plan reaches this mean latent PSNR, in dB, "
            "when it is replayed."
        ),
    ] = None,
    device: Device = None,
    offload: Offload = "none",
    ray: Ray = False,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    gang: Gang = None,
    parallel: Parallel = None,
    any_device: AnyDevice = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The schedule to write; by default in place."),
    ] = None,
) -> None:
    """Try knots and fit gains on calibration prompts, and keep what replays best at every budget.

    A budget at which running fewer steps is better is left out. If it is interrupted, run the same
    command again: it resumes where it stopped.

    Example: `meancache-plan refine schedule.json --model reference`
    """
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.files.journal import beside, drop
    from meancache_plan.files.lock import alone
    from meancache_plan.improve.profile_of_schedule import profile_of
    from meancache_plan.improve.refine_with_pipeline import refine_with
    from meancache_plan.improve.smallest_budget import smallest
    from meancache_plan.schedule.artifact import load_schedule, save_schedule
    from meancache_plan.show.terminal.views import show_schedule
    from meancache_runtime.snapshot import locate

    source = Path(locate(schedule))
    output = output or source
    solved = load_schedule(source)
    places = [Path(PROFILE), source.with_name(PROFILE)]
    measured = profile_of(solved, places if profile is None else [profile])
    check_writable(output, (profile, *places))
    loading = Loading(
        model, recipe, Overrides(prompts=prompts), device, offload, any_device=any_device
    )
    fleet = Fleet(ray, workers, gpus_per_worker, gang, parallel)
    with resumable(), alone(beside(output)):
        with fleet.crew(loading, solved) as crew, watching() as watch:

            def refined(plans: "Schedule") -> "Schedule":
                return refine_with(
                    crew,
                    measured,
                    plans,
                    output,
                    limit=limit,
                    batch=batch,
                    runs=runs,
                    watch=watch,
                )

            done = refined(solved) if min_psnr is None else smallest(solved, min_psnr, refined)
        done = noted(done, commands_of(solved), note("refine", given(context)))
        save_schedule(done, output)
        drop(beside(output))
    display(show_schedule(done, seconds=measured.seconds_per_step))
    say(f"wrote {output}")
