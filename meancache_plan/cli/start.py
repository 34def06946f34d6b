"""``start``: plans for a model that nobody has calibrated."""

from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.cli.loading_options import Loading, Overrides
from meancache_plan.cli.shared_options import Model, RecipeName
from meancache_plan.errors import InputError
from meancache_plan.show.terminal.console import display, say


def start(
    model: Model = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="How many steps may run the denoiser: one number, a list 8,10,13, or a range "
            "8-25; by default the recipe's budgets."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Sampler steps of a run; by default the recipe's.")
    ] = None,
    recipe: RecipeName = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The schedule to write.")] = Path(
        "schedule.json"
    ),
) -> None:
    """Make plans for a model that nobody has calibrated, without running or loading it.

    Their knots follow a rule that was made from published plans of other models, and nothing is
    known of their quality on this one: the runtime says so in every run. They are for a first look,
    and for want of time: `calibrate`, `solve` and `refine` make better ones.

    Example: `meancache-plan start black-forest-labs/FLUX.1-dev --budget 16 -o start.json`
    """
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.plan.start import start_schedule
    from meancache_plan.schedule.artifact import save_schedule
    from meancache_plan.show.terminal.views import show_schedule
    from meancache_plan.source.diffusers.unloaded import unloaded
    from meancache_plan.source.recipe import parse_numbers

    name, made_as = Loading(model, recipe, Overrides(steps=steps)).chosen()
    budgets = made_as.budgets if budget is None else budget
    if budgets is None:
        raise InputError(f"no recipe names budgets for {name}: give --budget, such as 10,16")
    check_writable(output)
    numbers = parse_numbers(budgets, "--budget")
    schedule = start_schedule(unloaded(name, made_as), numbers, made_as.steps)
    save_schedule(schedule, output)
    display(show_schedule(schedule))
    say(f"wrote {output}")
