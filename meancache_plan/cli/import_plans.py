"""``import-plans``: make schedules from plans that others publish."""

from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.show.terminal.console import say


def import_plans(
    file: Annotated[
        Path,
        typer.Argument(
            help="The plans as JSON, in the form of schedules/published.json; or the steps of one "
            "plan, as cache-dit (YAML) or sglang's DPCache (JSON) has them."
        ),
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
            help="Only this model's plans, by hub id; or the model of a file that names none."
        ),
    ] = None,
) -> None:
    """Make schedules from plans such as MeanCache's authors publish.

    A plan of steps alone gets the predictor that is nearest to what its own host does between them:
    judge it (`evaluate`) before you use it.

    Without `--model`, every model's schedule is written, as FOLDER/name/50-steps.json.

    Example: `meancache-plan import-plans schedules/published.json -o schedules`
    """
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.schedule.artifact import save_schedule
    from meancache_plan.schedule.published_plans import load_published, save_published

    schedules = load_published(file, model)
    if model is None:
        written = save_published(schedules, output)
    else:
        check_writable(output, (file,))
        save_schedule(schedules[model], output)
        written = (output,)
    for path, (name, schedule) in zip(written, schedules.items(), strict=True):
        budgets = ", ".join(str(plan.budget) for plan in schedule.plans)
        say(f"{path}: {name}, {schedule.grid.steps} steps, budgets {budgets}")
