"""Load the pipeline that a command line names."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from meancache_plan.judge.other_requests import Wish
    from meancache_plan.schedule.artifact import Schedule
    from meancache_plan.source.diffusers.pipeline import Pipeline
    from meancache_plan.source.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Loading:
    """Which pipeline a command line names, and how it is loaded.

    Attributes:
        model: Directory, hub id, or ``"reference"``; by default the recipe's, or the reference.
        recipe: A bundled recipe or a TOML file; by default the model's own.
        overrides: Fields of the recipe that options replace; None leaves one as it is.
        device: Such as ``"cuda:1"``; None for the best.
        offload: ``"none"``, ``"model"`` or ``"sequential"``.
    """

    model: str | None
    recipe: str | None
    overrides: Mapping[str, object] = field(default_factory=dict[str, object])
    device: str | None = None
    offload: str = "none"

    def chosen(self) -> "tuple[str, Recipe]":
        """The model and the recipe; each finds the other where it is left out.

        Raises:
            InputError: The recipe or an option is not valid.
        """
        from meancache_plan.source.catalog import REFERENCE
        from meancache_plan.source.recipe import find_recipe, override

        recipe = find_recipe(self.model or REFERENCE, self.recipe)
        return self.model or recipe.model or REFERENCE, override(recipe, **self.overrides)

    @contextmanager
    def asked(self, source: "Pipeline", wish: "Wish") -> "Generator[Pipeline]":
        """The same model, asked for other samples; loaded again for another dtype.

        Raises:
            InputError: A LoRA cannot be loaded.
        """
        from meancache_plan.source.diffusers.lora import with_lora

        recipe = wish.recipe
        same = recipe.dtype == source.recipe.dtype
        pipeline = source.asked(recipe) if same else self._load(recipe)
        with with_lora(pipeline.pipe, wish.lora, wish.scale):
            yield pipeline

    def load(self, schedule: "Schedule | None" = None) -> "Pipeline":
        """The pipeline; its samples are made as ``schedule`` was made for, if one is given.

        Raises:
            InputError: The recipe, an option, the model or the device cannot be used.
        """
        from meancache_plan.source.recipe import follow

        _, recipe = self.chosen()
        return self._load(recipe if schedule is None else follow(recipe, schedule))

    def _load(self, recipe: "Recipe") -> "Pipeline":
        model, _ = self.chosen()
        with Console(stderr=True).status(f"loading {model}"):
            from meancache_plan.source.diffusers.loading import load, quieten

            quieten()
            return load(model, recipe, device=self.device, offload=self.offload)
