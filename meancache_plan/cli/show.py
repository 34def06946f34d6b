"""``show``: print a profile or a schedule."""

from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.show.terminal.console import display


def show(
    file: Annotated[
        Path,
        typer.Argument(help="A profile that calibrate wrote, or a schedule: its file or folder."),
    ],
    plot: Annotated[Path | None, typer.Option(help="Also draw it as this PNG.")] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            help="Write the graph in which a plan is the lightest path: .graphml for other tools, "
            "or .png. For a schedule, give --profile too: its plan is drawn beneath."
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="Draw a schedule's plan over what reuse would cost in this profile (--plot), or "
            "beneath its planning graph (--graph)."
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Show this budget's plan: when the denoiser runs, and what else was tried."
        ),
    ] = None,
) -> None:
    """Print a profile, or a schedule with one line per budget; with `--budget`, one plan in detail.

    Example: `meancache-plan show schedule.json --budget 16 --plot timeline.png`

    Example: `meancache-plan show profile.safetensors --graph problem.graphml`
    """
    from meancache_plan.show.terminal import views
    from meancache_runtime.snapshot import locate

    display(views.show(Path(locate(file)), plot=plot, graph=graph, profile=profile, budget=budget))
