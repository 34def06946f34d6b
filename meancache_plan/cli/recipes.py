"""``recipes``: which recipes there are, or what one says."""

import json
from typing import Annotated

import typer

from meancache_plan.show.terminal.console import display, say


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Show this recipe, bundled or a TOML file, instead of the list."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the bundled recipes, or show one as it is written.

    Example: `meancache-plan recipes flux.1-dev`
    """
    from meancache_plan.show.terminal.recipe_list import recipe_facts, recipe_list
    from meancache_plan.source import catalog
    from meancache_plan.source.recipe import load_recipe, recipe_file

    files = catalog.recipe_files() if name is None else {name: recipe_file(name)}
    found = {key: load_recipe(file) for key, file in files.items()}
    if as_json:
        facts = [recipe_facts(key, recipe) for key, recipe in found.items()]
        say(json.dumps(facts if name is None else facts[0], indent=1, ensure_ascii=False))
    elif name is None:
        display(recipe_list(found))
    else:
        say(files[name].read_text(encoding="utf-8").rstrip())
