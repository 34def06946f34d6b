"""The options of ``solve`` that are about refining by replay."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meancache_plan.cli.loading import Loader
from meancache_plan.errors import InputError
from meancache_plan.show.terminal.console import watching

if TYPE_CHECKING:
    from meancache_plan.measure.profile import Profile
    from meancache_plan.plan.wishes import Improve
    from meancache_plan.schedule.artifact import Schedule


@dataclass(frozen=True, slots=True)
class Refinement:
    """With which model to refine, and how; without a model nothing is refined.

    Raises:
        InputError: There is no model, so that another option has no effect.
    """

    model: str | None
    recipe: str | None
    prompts: str | None
    limit: int | None
    batch: int
    device: str | None
    offload: str

    def __post_init__(self) -> None:
        """Refuse options without effect."""
        named = (self.recipe, self.prompts, self.limit, self.device)
        needless = named != (None,) * 4 or self.batch != 1 or self.offload != "none"
        if self.model is None and needless:
            raise InputError(
                "--recipe, --prompts, --limit, --batch, --device and --offload need --refine MODEL"
            )

    def check_grid(self, shift: float | None, sigmas: Path | None) -> None:
        """Refuse a grid that the model would not run on. Raises InputError."""
        if self.model is not None and (shift is not None or sigmas is not None):
            raise InputError(
                "--refine runs the model on its own grid: leave out --shift and --sigmas"
            )

    def improver(
        self, profile: "Profile", output: Path, load: Loader | None = None
    ) -> "Improve | None":
        """schedule → the schedule refined, by a pipeline that is loaded once; None: do not.

        Args:
            profile: What the schedule is solved from.
            output: The schedule's file; work is kept beside it.
            load: Loads the pipeline, if others use it as well.
        """
        if self.model is None:
            return None
        from meancache_plan.improve.with_pipeline import refine_with

        options = {"prompts": self.prompts}
        loader = load or Loader(self.model, self.recipe, options, self.device, self.offload)

        def improve(schedule: "Schedule") -> "Schedule":
            given = loader(schedule), profile, schedule, output
            with watching() as watch:
                return refine_with(*given, limit=self.limit, batch=self.batch, watch=watch)

        return improve
