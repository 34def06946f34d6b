"""``compare``: a schedule beside everything else that makes the pipeline faster."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.cli.loading_options import Loading, Overrides
from meancache_plan.cli.other_schedules import check_against, load_rivals
from meancache_plan.cli.ray_options import Fleet, GpusPerWorker, Ray, Workers
from meancache_plan.cli.shared_options import (
    AnyDevice,
    Device,
    Model,
    Offload,
    Prompts,
    RecipeName,
    ScheduleFile,
    Seeds,
)
from meancache_plan.show.terminal.console import display, resumable, watching

QUICK_PROMPTS = 3
"""Prompts of a quick comparison, unless told otherwise."""


def compare(
    model: Model = None,
    schedule: ScheduleFile = Path("schedule.json"),
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Another schedule to compare with; may be given more than once."),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(help="The profile of the model: adds MeanCache's own plans, solved from it."),
    ] = None,
    recipe: RecipeName = None,
    prompts: Prompts = None,
    seeds: Seeds = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N prompts.")] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Use 3 prompts and try fewer settings of each method: a first look."
        ),
    ] = False,
    device: Device = None,
    offload: Offload = "none",
    ray: Ray = False,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    any_device: AnyDevice = False,
    lpips: Annotated[
        bool, typer.Option("--lpips", help="Measure LPIPS too, which downloads a network.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write all figures to this file; finished samples are kept beside it meanwhile.",
        ),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the table to this file, for a spreadsheet.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw quality against cost into this PNG.")
    ] = None,
) -> None:
    """Compare a schedule with fewer steps, other solvers and other caches, at equal cost.

    On the same held-out prompts and seeds, in one run: the pipeline's own sampler, Heun,
    DPM-Solver++ and UniPC with fewer steps; FirstBlockCache, MagCache, TaylorSeer, SeaCache, PAB
    and FasterCache of diffusers; DBCache, if cache-dit is installed; with `--profile` MeanCache's
    own plans. With `--json` the same command resumes where it was interrupted.

    Example: `meancache-plan compare --schedule schedule.json --quick --json compare.json`
    """
    from meancache_plan.judge.compare.peers.plan_peers import baselines
    from meancache_plan.judge.compare.run_comparison import compare as shoot_out
    from meancache_plan.judge.compare.sweep import QUICK, THOROUGH
    from meancache_plan.measure.profile import load_profile
    from meancache_plan.schedule.artifact import load_schedule
    from meancache_plan.show.comparison_files import check_outputs, write_comparison
    from meancache_plan.show.terminal.comparison_tables import comparison_tables
    from meancache_plan.source.recipe import parse_numbers, read_prompts

    check_outputs(json_file, csv_file, plot)
    judged = load_schedule(schedule)
    rivals = others = load_rivals(against)
    if profile is not None:
        others = rivals | baselines(load_profile(profile), judged.budgets)
    heldout = Overrides(heldout_prompts=prompts, heldout_seeds=seeds)
    most = limit or (QUICK_PROMPTS if quick else None)
    loading = Loading(model, recipe, heldout, device, offload, any_device=any_device)
    _, chosen = loading.chosen(judged)
    fleet = Fleet(ray, workers, gpus_per_worker)
    with _kept(json_file) as folder:
        with fleet.crew(loading, judged) as crew, watching() as watch:
            check_against(crew, judged, (), against, rivals)
            result = shoot_out(
                crew,
                judged,
                read_prompts(chosen.heldout_prompts)[:most],
                parse_numbers(chosen.heldout_seeds, "--seeds"),
                read_prompts(chosen.prompts),
                rivals=others,
                sweep=QUICK if quick else THOROUGH,
                folder=folder,
                lpips=lpips,
                progress=watch("comparing"),
            )
        display(comparison_tables(result))
        write_comparison(result, json_file=json_file, csv_file=csv_file, plot=plot)


@contextmanager
def _kept(json_file: Path | None) -> Generator[Path | None]:
    """The folder of finished samples, if any are kept: alone, and an interruption loses nothing."""
    from meancache_plan.files.journal import beside
    from meancache_plan.files.lock import alone

    if json_file is None:
        yield None
        return
    with resumable(), alone(beside(json_file)):
        yield beside(json_file)
