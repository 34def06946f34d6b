"""``report``: a schedule as one web page."""

from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.show.terminal.console import say


def report(
    schedule: Annotated[
        Path, typer.Argument(help="The schedule to show: its file, or the folder of a kit.")
    ] = Path("schedule.json"),
    profile: Annotated[
        Path | None,
        typer.Option(
            help="The profile that it was solved from: adds a map of what reuse would cost."
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="The folder that evaluate --samples wrote: adds figures and pictures."),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="The figures that evaluate --json wrote, if not the folder's own."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Write one HTML file that shows all plans of a schedule, what they cost and how good they are.

    It needs no network and no other file. What is not given is left out, and the page says so.

    Example: `meancache-plan report schedule.json --samples judged -o report.html`
    """
    from meancache_plan.judge.findings import load_evaluation
    from meancache_plan.judge.sample_folder import FIGURES_FILE, load_samples
    from meancache_plan.measure.profile import load_profile
    from meancache_plan.schedule.artifact import load_schedule
    from meancache_plan.show.page import check_output, write_report
    from meancache_runtime.snapshot import locate

    check_output(output)
    schedule = Path(locate(schedule))
    if evaluation is None and samples is not None and (samples / FIGURES_FILE).is_file():
        evaluation = samples / FIGURES_FILE
    size = write_report(
        load_schedule(schedule),
        output,
        profile=None if profile is None else load_profile(profile),
        evaluation=None if evaluation is None else load_evaluation(evaluation),
        samples=None if samples is None else load_samples(samples),
        name=schedule.name,
    )
    say(f"{output}: {size / 1e6:.1f} MB; open it in a browser")
