"""Load the pipeline that a command line names."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from meancache_plan.judge.asked_requests import OtherRequest
    from meancache_plan.schedule.artifact import Schedule
    from meancache_plan.source.diffusers.pipeline import Pipeline
    from meancache_plan.source.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Overrides:
    """Fields of the recipe that options replace, as a user gives them; None leaves one as it is."""

    steps: int | None = None
    height: int | None = None
    width: int | None = None
    frames: int | None = None
    guidance: float | None = None
    dtype: str | None = None
    prompts: str | None = None
    seeds: str | None = None
    heldout_prompts: str | None = None
    heldout_seeds: str | None = None


@dataclass(frozen=True, slots=True)
class Loading:
    """Which pipeline a command line names, and how it is loaded.

    Attributes:
        model: Directory, hub id, or ``"reference"``; by default the recipe's, or the reference.
        recipe: A bundled recipe or a TOML file; by default the model's own.
        overrides: What options say in the recipe's place.
        device: Such as ``"cuda:1"``; None for the best.
        offload: ``"none"``, ``"model"``, ``"group"`` or ``"sequential"``.
        gpus: How many it is spread over.
        parallel: How a gang of processes shares it; None for one process.
        any_device: Whether other kinds of devices may share its work.
    """

    model: str | None
    recipe: str | None
    overrides: Overrides = Overrides()
    device: str | None = None
    offload: str = "none"
    gpus: int = 1
    parallel: str | None = None
    any_device: bool = False

    def chosen(self, schedule: "Schedule | None" = None) -> "tuple[str, Recipe]":
        """The model and the recipe; each finds the other where it is left out.

        Args:
            schedule: What the recipe's samples are made for, if it is given.

        Raises:
            InputError: The recipe or an option is not valid.
        """
        from meancache_plan.source.catalog import REFERENCE
        from meancache_plan.source.recipe import find_recipe, follow, override

        recipe = override(
            find_recipe(self.model or REFERENCE, self.recipe), **asdict(self.overrides)
        )
        model = self.model or recipe.model or REFERENCE
        return model, recipe if schedule is None else follow(recipe, schedule)

    def settled(self) -> "Loading":
        """The same for :meth:`load_as` in another process, whose folder may be another."""
        model, _ = self.chosen()
        place = str(Path(model).resolve()) if Path(model).is_dir() else model
        return replace(self, model=place, recipe=None, overrides=Overrides())

    def asking(
        self, request: "OtherRequest"
    ) -> "Callable[[Pipeline], AbstractContextManager[Pipeline]]":
        """What has the same model asked for other samples; loaded again for another dtype.

        It raises InputError if a LoRA cannot be loaded, or there is no such guider.
        """
        settled = self.settled()

        @contextmanager
        def asked(source: "Pipeline") -> "Generator[Pipeline]":
            from meancache_plan.source.diffusers.guiders import with_guiders
            from meancache_plan.source.diffusers.lora import with_lora

            same = request.recipe.dtype == source.recipe.dtype
            pipeline = source.asked(request.recipe) if same else settled.load_as(request.recipe)
            pipe, guiders = pipeline.pipe, dict(request.guiders)
            with with_lora(pipe, request.lora, request.scale), with_guiders(pipe, guiders):
                yield pipeline

        return asked

    def load(self, schedule: "Schedule | None" = None) -> "Pipeline":
        """The pipeline; its samples are made as ``schedule`` was made for, if one is given.

        Raises:
            InputError: The recipe, an option, the model or the device cannot be used.
        """
        _, recipe = self.chosen(schedule)
        return self.load_as(recipe)

    def load_as(self, recipe: "Recipe") -> "Pipeline":
        """The pipeline, with this recipe. Raises InputError, as :meth:`load`."""
        model, _ = self.chosen()
        with Console(stderr=True).status(f"loading {model}"):
            from meancache_plan.source.diffusers.load_pipeline import load, quieten

            quieten()
            return load(
                model,
                recipe,
                device=self.device,
                offload=self.offload,
                gpus=self.gpus,
                parallel=self.parallel,
                any_device=self.any_device,
            )
