"""``evaluate``: judge a schedule on held-out prompts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meancache_plan.cli.loading_options import Loading, Overrides
from meancache_plan.cli.other_schedules import check_against, load_rivals
from meancache_plan.cli.ray_options import Fleet, Gang, GpusPerWorker, Parallel, Ray, Workers
from meancache_plan.cli.shared_options import (
    AnyDevice,
    Batch,
    Device,
    Model,
    Offload,
    Prompts,
    RecipeName,
    ScheduleFile,
    Seeds,
)
from meancache_plan.show.terminal.console import display, resumable, watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meancache_plan.judge.asked_requests import OtherRequest
    from meancache_plan.judge.findings import Evaluation
    from meancache_plan.source.diffusers.pipeline import Pipeline

SHEET_ROWS = 6
"""Prompts that a sheet of sample pictures shows."""


def evaluate(
    model: Model = None,
    schedule: ScheduleFile = Path("schedule.json"),
    recipe: RecipeName = None,
    prompts: Prompts = None,
    seeds: Seeds = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Which of the schedule's budgets to judge, such as 8,16; all by default."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N prompts.")] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Another schedule to judge beside it; may be given more than once."),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Judge the plans at another request too, such as height=96,width=96, "
            "true_cfg_scale=4, max_sequence_length=77, guider.start=0.2, dtype=bfloat16, seeds=7-9 "
            "or lora=FILE,scale=0.8; may be given more than once."
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
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw quality against cost into this PNG.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write some sample pictures side by side into this PNG.")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Write figures and every prompt's pictures into this folder, for a report."
        ),
    ] = None,
    lpips: Annotated[
        bool, typer.Option("--lpips", help="Measure LPIPS too, which downloads a network.")
    ] = False,
    frechet: Annotated[
        int | None,
        typer.Option(
            min=1, help="Measure Fréchet distances too, on this many samples of each method."
        ),
    ] = None,
    frechet_to: Annotated[
        Path | None,
        typer.Option(
            help="A folder of pictures to measure distances to; by default, more full samples."
        ),
    ] = None,
    batch: Batch = 1,
    record: Annotated[
        bool, typer.Option("--record", help="Note the measured quality in the schedule itself.")
    ] = False,
) -> None:
    """Replay a schedule on held-out prompts, beside what you would use instead.

    If it is interrupted, run the same command again: it resumes where it stopped.

    Example: `meancache-plan evaluate --schedule schedule.json --json figures.json`
    """
    from meancache_plan.files.journal import beside, drop
    from meancache_plan.files.lock import alone
    from meancache_plan.judge import evaluate as judge
    from meancache_plan.judge.asked_requests import asked_for
    from meancache_plan.judge.frechet.frechet_measurement import frechet_settings
    from meancache_plan.judge.sample_folder import SampleFolder
    from meancache_plan.schedule.artifact import load_schedule, save_schedule
    from meancache_plan.schedule.digest import unmeasured_sha256_of
    from meancache_plan.show.evaluation_files import write_evaluation
    from meancache_plan.show.terminal.evaluation_table import evaluation_table
    from meancache_plan.source.recipe import parse_numbers, read_prompts
    from meancache_runtime.snapshot import locate

    schedule = Path(locate(schedule))
    _check_outputs(json_file, schedule if record else None, pictures=(plot, sheet))
    plan, rivals = load_schedule(schedule), load_rivals(against)
    own = Path(f"{schedule.name}.{unmeasured_sha256_of(plan).removeprefix('sha256:')[:8]}")
    folder = None if samples is None else SampleFolder(samples)
    work = beside(json_file or plot or sheet or own) if folder is None else folder.work
    budgets = None if budget is None else parse_numbers(budget, "--budget")
    heldout = Overrides(heldout_prompts=prompts, heldout_seeds=seeds)
    loading = Loading(model, recipe, heldout, device, offload, any_device=any_device)
    _, chosen = loading.chosen(plan)
    requests = [asked_for(text, chosen, plan.generation) for text in also or ()]
    requests = [request.settled() for request in requests] if ray else requests
    texts = read_prompts(chosen.heldout_prompts)[:limit]
    numbers = parse_numbers(chosen.heldout_seeds, "--seeds")
    fleet = Fleet(ray, workers, gpus_per_worker, gang, parallel)
    with resumable(), alone(work):
        with fleet.crew(loading, plan) as crew, watching() as watch:
            crew.ask(lambda source: _check(source, dict(zip(also or (), requests, strict=True))))
            check_against(crew, plan, budgets or plan.budgets, against, rivals)
            result = judge.evaluate(
                crew,
                plan,
                texts,
                numbers,
                budgets=budgets,
                rivals=rivals,
                lpips=lpips,
                frechet=frechet_settings(frechet, frechet_to, batch, watch),
                shots=SHEET_ROWS if sheet else 0,
                witness=folder,
                work=work,
                progress=watch("evaluating"),
            )
            others: list[Evaluation] = []
            for number, request in enumerate(requests, start=1):
                with crew.changed(loading.asking(request)) as asked:
                    others.append(
                        judge.evaluate(
                            asked,
                            plan,
                            texts,
                            parse_numbers(request.recipe.heldout_seeds, "--also seeds"),
                            budgets=budgets,
                            baselines=False,
                            other=request.unseen,
                            work=work / f"also-{number}",
                            progress=watch(f"also {number}"),
                        )
                    )
        display(evaluation_table(result), *map(evaluation_table, others))
        write_evaluation(result, json_file=json_file, plot=plot, sheet=sheet)
        if folder is not None:
            folder.finish(result)
        if record:
            save_schedule(judge.with_measured(plan, result, *others), schedule)
        drop(work)


def _check(source: "Pipeline", requests: "Mapping[str, OtherRequest]") -> None:
    """Refuse what cannot be asked for before any work is done."""
    from meancache_plan.judge.asked_requests import check_asked

    for text, request in requests.items():
        check_asked(source, request, text)


def _check_outputs(*files: Path | None, pictures: tuple[Path | None, ...]) -> None:
    """Refuse what cannot be written before any work is done."""
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.show.images.sample_images import check_output

    for picture in filter(None, pictures):
        check_output(picture)
    for file in filter(None, files):
        check_writable(file)
