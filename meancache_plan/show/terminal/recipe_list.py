"""Recipes as a person wants them listed, or as a program does."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from meancache_plan.show.style import plain
from meancache_plan.source.recipe import Recipe, parse_numbers, read_prompts


def recipe_facts(name: str, recipe: Recipe) -> dict[str, Any]:
    """What a list of recipes says of one, as JSON holds it."""
    kept = ("model", "pipeline", "steps", "height", "width", "frames", "guidance_argument")
    facts: dict[str, Any] = {"name": name, **{key: getattr(recipe, key) for key in kept}}
    budgets = recipe.budgets
    return facts | {
        "guidance": recipe.guidance,
        "prompts": len(read_prompts(recipe.prompts)),
        "seeds": len(parse_numbers(recipe.seeds, "seeds")),
        "budgets": [] if budgets is None else list(parse_numbers(budgets, "budgets")),
    }


def recipe_list(recipes: Mapping[str, Recipe]) -> RenderableType:
    """Two lines per recipe, in 80 columns: its settings under headings, its model and pipeline."""
    headings = _line("recipe", "steps", "size", "guidance", "samples", "budgets")
    lines = [Text(headings, style="bold")]
    for name, recipe in recipes.items():
        facts = recipe_facts(name, recipe)
        pixels = (recipe.width, recipe.height, recipe.frames)
        size = " × ".join(str(number) for number in pixels if number is not None)
        guidance = "–" if recipe.guidance is None else f"{recipe.guidance:g}"
        samples = f"{facts['prompts']} × {facts['seeds']}"
        figures = str(recipe.steps), size or "–", guidance, samples, recipe.budgets or "–"
        lines.append(Text(_line(name, *figures)))
        about = [plain(facts[key]) for key in ("model", "pipeline") if facts[key] is not None]
        between = ", " if sum(map(len, about)) <= 76 else ",\n  "
        lines.append(Text("  " + between.join(about), style="dim"))
    caption = "size: width × height, and frames of a video; samples: prompts × seeds"
    return Group(*lines, Text(caption, style="dim"))


def _line(name: str, steps: str, size: str, guidance: str, samples: str, budgets: str) -> str:
    return f"{name:<18}{steps:>5}  {size:<16}{guidance:>8}  {samples:>7}  {budgets}"
