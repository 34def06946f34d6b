"""``show``: print a profile or a schedule."""

from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.console import display


def show(
    file: Annotated[Path, typer.Argument(help="A profile or a schedule.")],
    plot: Annotated[Path | None, typer.Option(help="Draw it into this PNG.")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Draw a schedule's plan over this profile's deviations.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(help="Which plan to draw, and whose candidates to list.")
    ] = None,
) -> None:
    """Print a profile, or a schedule with one line a budget; with `--budget` one plan in detail.

    Example: `meancache-plan show schedule.json --budget 16 --plot timeline.png`
    """
    from meancache_plan.report import views

    display(views.show(file, plot=plot, profile=profile, budget=budget))
