"""``import-table``: make schedules from tables that others publish."""

from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.show.terminal.console import say


def import_table(
    file: Annotated[
        Path, typer.Argument(help="The tables as JSON, in the form of schedules/published.json.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="The folder to write into; with --model, the schedule file to write.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Only this model's table, by hub id; or the model of a file with one table."
        ),
    ] = None,
) -> None:
    """Make schedules from tables such as MeanCache's authors publish.

    Without `--model`, every model's schedule is written, as FOLDER/name/50-steps.json.

    Example: `meancache-plan import-table schedules/published.json -o schedules`
    """
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.schedule.artifact import save_schedule
    from meancache_plan.schedule.published import load_tables, save_tables, to_schedule

    tables = load_tables(file, model)
    if model is None:
        written = save_tables(tables, output)
    else:
        check_writable(output)
        save_schedule(to_schedule(model, tables[model]), output)
        written = (output,)
    for path, (name, table) in zip(written, tables.items(), strict=True):
        budgets = ", ".join(sorted(table.budgets, key=int))
        say(f"{path}: {name}, {table.steps} steps, budgets {budgets}")
