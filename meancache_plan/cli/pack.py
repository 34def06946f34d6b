"""``pack``: what is published beside a model's weights."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meancache_plan.cli.loading_options import Loading
from meancache_plan.cli.noted_commands import commands_of, measured_by, note, noted
from meancache_plan.cli.shared_options import PROFILE, Batch, Device, Offload, RecipeName
from meancache_plan.errors import InputError
from meancache_plan.show.terminal.console import resumable, say, watching

if TYPE_CHECKING:
    from meancache_plan.schedule.provenance import Command
    from meancache_plan.ship.release_kit import Kit, Place


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be packed, and with which model it is refined and measured, if with any.

    Raises:
        InputError: There is no model, so that another option has no effect.
    """

    schedule: Path | None
    budget: str | None
    loading: Loading
    limit: int | None
    batch: int
    refine: bool

    def __post_init__(self) -> None:
        """Refuse options without effect."""
        plain = Loading(None, None), None, 1, True
        if not self.has_model and (self.loading, self.limit, self.batch, self.refine) != plain:
            raise InputError(
                "--recipe, --limit, --batch, --device, --offload and --no-refine need --model"
            )

    @property
    def has_model(self) -> bool:
        """Whether plans can be replayed."""
        return self.loading.model is not None

    def fill(self, place: "Place", profile: Path | None) -> "Kit":
        """Solve or read the schedule; with a model, refine what is solved, and measure it."""
        from meancache_plan.ship.release_kit import judged, refined

        kit = self._given(place, profile)
        if not self.has_model:
            return kit
        pipeline = self.loading.load(kit.schedule)
        with watching() as watch:
            if self.schedule is None and self.refine:
                before = commands_of(kit.schedule)
                kit = refined(
                    kit, pipeline, place.work, limit=self.limit, batch=self.batch, watch=watch
                )
                kit = replace(kit, schedule=noted(kit.schedule, before, self._refining()))
            progress = watch("evaluating")
            return judged(kit, pipeline, place.work, limit=self.limit, progress=progress)

    def _given(self, place: "Place", profile: Path | None) -> "Kit":
        """The schedule that is packed, read or solved, before anything is replayed."""
        from meancache_plan.measure.profile import load_profile
        from meancache_plan.schedule.artifact import load_schedule
        from meancache_plan.ship.release_kit import chosen, compiled, is_measured, wished

        if self.schedule is None:
            measured = load_profile(profile or Path(PROFILE))
            place.check(measured.settings.model, measured=self.has_model)
            recipe = self.loading.recipe
            wish = wished(measured, self.budget, recipe, measured=self.has_model)
            kit = compiled(measured, wish)
            before, solve = [measured_by(measured)], note("solve", wish.given)
            return replace(kit, schedule=noted(kit.schedule, before, solve))
        source = None if profile is None else load_profile(profile)
        kit = chosen(load_schedule(self.schedule), self.budget, source)
        notes = self.has_model or is_measured(kit.schedule)
        place.check(kit.schedule.model, measured=notes)
        return kit

    def _refining(self) -> "Command | None":
        """The command that refines as this does."""
        recipe = self.loading.recipe
        options = {"recipe": recipe and Path(recipe).name, "limit": self.limit}
        options |= {"batch": None if self.batch == 1 else self.batch}
        return note("refine", {name: value for name, value in options.items() if value})

    def again(self, kit: "Kit", folder: str) -> list[str]:
        """Command lines that make the same kit from the model."""
        from meancache_plan.ship.commands_again import again
        from meancache_plan.show.lines_to_copy import model_name

        options: list[str] = []
        if self.has_model:
            options += ["--model", model_name(kit.schedule)]
        if self.loading.recipe is not None:
            options += ["--recipe", Path(self.loading.recipe).name]
        if self.limit is not None:
            options += ["--limit", str(self.limit)]
        return again(kit.schedule, options, folder)


def pack(
    profile: Annotated[
        Path | None,
        typer.Argument(
            help=f"The profile that calibrate wrote; by default {PROFILE}.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The calibrated model: plans are refined, and measured on held-out prompts."
        ),
    ] = None,
    schedule: Annotated[
        Path | None,
        typer.Option(help="Pack this schedule, instead of solving one from the profile."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="How many steps may run the denoiser, such as 8,16; by default the recipe's "
            "budgets with --model, and otherwise all useful ones."
        ),
    ] = None,
    recipe: RecipeName = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Use only this many prompts of each list; all by default."),
    ] = None,
    batch: Batch = 1,
    device: Device = None,
    offload: Offload = "none",
    refine: Annotated[
        bool, typer.Option(help="Refine the plans by replay, as refine does; with --model only.")
    ] = True,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Licence of the schedule, for the page; by default the model's or the source's."
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The folder to write into, new or the model's own."),
    ] = Path("release"),
) -> None:
    """Write a schedule, a page of Markdown and a report into a folder, beside a model's weights.

    With `--model` the plans are refined and measured on held-out prompts; if it is interrupted,
    the same command resumes where it stopped. At the end all files are written, or none.

    Example: `meancache-plan pack --schedule schedules/reference/50-steps.json -o release`
    """
    from meancache_plan.files.lock import alone
    from meancache_plan.ship.release_kit import Place, licence_of

    loading = Loading(model, recipe, device=device, offload=offload)
    order = Order(schedule, budget, loading, limit, batch, refine)
    place = Place(output)
    with resumable(), alone(place.work):
        kit = order.fill(place, profile)
        lines = order.again(kit, place.folder.name)
        files = place.write(kit, licence or licence_of(kit.schedule), lines)
    for file in files:
        say(f"wrote {file}")
