"""``export``: a plan in a form that other hosts read."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meancache_plan.show.terminal.console import say

if TYPE_CHECKING:
    from meancache_runtime import Schedule


class Form(StrEnum):
    """The forms that there are."""

    TABLE = "table"
    CACHE_DIT = "cache-dit"
    SGLANG = "sglang"


def export(
    schedule: Annotated[Path, typer.Argument(help="The schedule: its file or folder.")],
    budget: Annotated[int, typer.Option(help="Which of its plans to write.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    to: Annotated[
        Form,
        typer.Option(
            help="In which form: table, the plan's weights on one grid as JSON; or its knots "
            "alone: cache-dit, YAML for cache_dit.load_configs, or sglang, environment variables."
        ),
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

    The format is specified in schedules/README.md. A step mask for cache-dit or sglang keeps the
    plan's knots and loses its predictors, and so its measured quality too.

    Example: `meancache-plan export schedule.json --budget 10 -o table.json`
    """
    from meancache_plan.errors import InputError
    from meancache_plan.files.atomic import check_writable, write_atomically
    from meancache_runtime import load_schedule

    check_writable(output, (schedule, sigmas))
    found = load_schedule(schedule)
    if to is Form.TABLE:
        text, told = _table(schedule, found, budget, sigmas)
    elif sigmas is not None:
        raise InputError(f"--sigmas: a step mask has no noise levels: leave it out with --to {to}")
    else:
        text, told = _mask(schedule, found, budget, to)
    write_atomically(output, text.encode())
    say(f"{output}: {told}")


def _table(file: Path, schedule: "Schedule", budget: int, sigmas: Path | None) -> tuple[str, str]:
    """A table's file, and what it holds."""
    from meancache_plan.errors import InputError
    from meancache_plan.measure.transfer import read_sigmas
    from meancache_runtime import Table
    from meancache_runtime.binding import bind_schedule

    grid = schedule.grid
    schedule.plan(budget)
    levels = grid.sigmas if sigmas is None else read_sigmas(sigmas)
    if levels is None:
        raise InputError(
            f"{file} fits any grid of {grid.steps} steps: say with --sigmas which noise levels "
            "the run has (pipe.scheduler.sigmas.tolist() after a run of that many steps)"
        )
    table = Table.of(bind_schedule(schedule, budget, levels))
    told = f"{table.refreshes} refreshes of {table.steps} steps, {table.history} velocities"
    return table.to_json(), told


def _mask(file: Path, schedule: "Schedule", budget: int, to: Form) -> tuple[str, str]:
    """A step mask's file, and what it holds."""
    from meancache_plan.errors import InputError
    from meancache_plan.schedule.mask_export import to_cache_dit, to_sglang

    plan, grid = schedule.plan(budget), schedule.grid
    if grid.switches:
        raise InputError(
            f"{file} was made for two denoisers, which take turns at step {grid.switches[0]}: "
            f"{to} counts the steps of each alone, and a plan counts all of them"
        )
    write = to_cache_dit if to is Form.CACHE_DIT else to_sglang
    told = f"{len(plan.knots)} of {grid.steps} steps, without the plan's predictors"
    return write(plan, grid.steps), told
