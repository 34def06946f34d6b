"""``export``: a plan in a form that other hosts read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.show.terminal.console import say


class Form(StrEnum):
    """The forms that there are."""

    TABLE = "table"


def export(
    schedule: Annotated[Path, typer.Argument(help="The schedule: its file or folder.")],
    budget: Annotated[int, typer.Option(help="Which of its plans to write.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    to: Annotated[
        Form, typer.Option(help="In which form: table, the plan's weights on one grid as JSON.")
    ] = Form.TABLE,
    sigmas: Annotated[
        Path | None,
        typer.Option(
            help="A file with the run's noise levels, as text or a JSON list, if they are not the "
            "schedule's."
        ),
    ] = None,
) -> None:
    """Write one plan as a table: all that a sampler in any language needs to follow it.

    The format is specified in schedules/README.md.

    Example: `meancache-plan export schedule.json --budget 10 -o table.json`
    """
    from meancache_plan.errors import InputError
    from meancache_plan.files.atomic import check_writable, write_atomically
    from meancache_plan.measure.transfer import read_sigmas
    from meancache_runtime import Table, load_schedule
    from meancache_runtime.binding import bind
    from meancache_runtime.grid import check_grid

    check_writable(output, (schedule, sigmas))
    found = load_schedule(schedule)
    plan, grid = found.plan(budget), found.grid
    levels = grid.sigmas if sigmas is None else read_sigmas(sigmas)
    if levels is None:
        raise InputError(
            f"{schedule} fits any grid of {grid.steps} steps: say with --sigmas which noise levels "
            "the run has (pipe.scheduler.sigmas.tolist() after a run of that many steps)"
        )
    check_grid(grid, levels)
    table = Table.of(bind(plan, levels, grid.displaced))
    write_atomically(output, table.to_json().encode())
    say(f"{output}: {table.refreshes} refreshes of {table.steps} steps, {table.history} velocities")
