"""Load the pipeline that a command line names."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from meancache_plan.schedule.artifact import Schedule
    from meancache_plan.source.diffusers.pipeline import Pipeline
    from meancache_plan.source.recipe import Recipe


def chosen(
    model: str | None, name: str | None, options: Mapping[str, object]
) -> "tuple[str, Recipe]":
    """The model and the recipe that are named; each finds the other where it is left out.

    Options override the recipe's fields. Without both it is the reference pipeline.

    Raises:
        InputError: The recipe or an option is not valid.
    """
    from meancache_plan.source.catalog import REFERENCE
    from meancache_plan.source.recipe import find_recipe, override

    recipe = find_recipe(model or REFERENCE, name)
    return model or recipe.model or REFERENCE, override(recipe, **options)


def load_pipeline(
    model: str | None,
    recipe_name: str | None,
    options: Mapping[str, object],
    device: str | None,
    offload: str,
    schedule: "Schedule | None" = None,
) -> "Pipeline":
    """Load a pipeline by its recipe, the given options, and the schedule's own settings.

    Args:
        model: Directory, hub id, or ``"reference"``; by default the recipe's.
        recipe_name: A bundled recipe or a TOML file; by default the model's own.
        options: Fields of the recipe that the command line overrides; None leaves one as it is.
        device: Such as ``"cuda:1"``; None for the best.
        offload: ``"none"``, ``"model"`` or ``"sequential"``.
        schedule: Samples are made as this was made for.

    Raises:
        InputError: The recipe, an option, the model or the device cannot be used.
    """
    from meancache_plan.source.recipe import follow

    model, recipe = chosen(model, recipe_name, options)
    if schedule is not None:
        recipe = follow(recipe, schedule)
    with Console(stderr=True).status(f"loading {model}"):
        from meancache_plan.source.diffusers.loading import load, quieten

        quieten()
        return load(model, recipe, device=device, offload=offload)


class Loader:
    """Loads the pipeline for the first schedule that asks, and has it ready for others.

    The arguments are those of :func:`load_pipeline`.
    """

    def __init__(
        self,
        model: str,
        recipe_name: str | None,
        options: Mapping[str, object],
        device: str | None,
        offload: str,
    ) -> None:
        self._named = model, recipe_name, options, device, offload
        self._loaded: Pipeline | None = None

    def __call__(self, schedule: "Schedule") -> "Pipeline":
        """The pipeline, with the settings of this schedule if it is the first."""
        if self._loaded is None:
            self._loaded = load_pipeline(*self._named, schedule)
        return self._loaded
