"""The command lines that make the plans of a schedule again from its model, if any do."""

from dataclasses import dataclass
from inspect import signature
from itertools import chain
from pathlib import Path

from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.settings import ProfileSettings
from meancache_plan.plan import solve as compiler
from meancache_plan.schedule.artifact import Generation, Schedule
from meancache_plan.schedule.provenance import Provenance
from meancache_plan.schedule.pruning import prune
from meancache_plan.show.usage import ANY_MODEL, file_name, model_name
from meancache_plan.source.diffusers.call import described
from meancache_plan.source.recipe import (
    Recipe,
    digest,
    find_recipe,
    follow,
    parse_numbers,
    read_prompts,
)

PROFILE, FILE, RECIPE = "model.profile.safetensors", "schedule.json", "recipe.toml"
"""Names of what the lines write and read; the last where a recipe's own is not repeated."""

CALIBRATED = ("steps", "height", "width", "frames", "guidance", "dtype")
"""Fields of a recipe that options of ``calibrate`` override."""

CHOSEN = ("planner", "metric", "statistic", "gamma", "order")
"""Options of ``solve`` with the defaults of :func:`meancache_plan.plan.solve.solve`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of how a schedule came to be.

    Attributes:
        schedule: The schedule.
        made: Its provenance.
        settings: Those of the profile that it was solved from; None where that is not at hand.
        recipe: The recipe that its model is taken to have been calibrated by.
        name: That recipe's name or file, if it is not the model's own.
    """

    schedule: Schedule
    made: Provenance
    settings: ProfileSettings | None
    recipe: Recipe
    name: str | None

    @property
    def named(self) -> list[str]:
        """The option that names the recipe, where one is needed."""
        if self.name is None:
            return []
        return ["--recipe", file_name(Path(self.name).name, RECIPE)]


def origin_of(schedule: Schedule, profile: Profile | None, name: str | None) -> Origin | None:
    """Return where a schedule comes from, or None where no ``calibrate`` line leads there again.

    Args:
        schedule: The schedule.
        profile: What it was solved from, if that is at hand.
        name: Name or file of the recipe; the model's own by default.

    Raises:
        InputError: The recipe cannot be read.
    """
    made, model = schedule.provenance, schedule.model
    if made is None or model is None or model_name(schedule) == ANY_MODEL:
        return None  # made elsewhere; or not of a pipeline with a name that may be repeated
    if model.adapters:
        return None  # no option loads them
    if profile is not None and profile.fingerprint != made.profile:
        return None  # it is of another profile
    if made.transferred_from is not None:
        return None  # planned for another grid than calibration's
    settings = None if profile is None else profile.settings
    recipe = find_recipe(model_name(schedule), name)
    origin = Origin(schedule, made, settings, recipe, name)
    return origin if _has_same_samples(origin) else None


def _has_same_samples(origin: Origin) -> bool:
    """Whether the recipe, with options of ``calibrate``, makes the samples of the profile."""
    schedule, settings = origin.schedule, origin.settings
    try:
        recipe = follow(origin.recipe, schedule)
    except InputError:
        return False  # such as a dtype that no option names
    if schedule.generation != _generation(recipe):
        return False  # a size or guidance that is left to the pipeline, or in another argument
    if recipe.guidance_argument != origin.recipe.guidance_argument:
        return False
    prompts, seeds = read_prompts(recipe.prompts), parse_numbers(recipe.seeds, "seeds")
    if origin.made.samples != len(prompts) * len(seeds):
        return False
    return settings is None or (
        (settings.prompts_sha256, settings.seeds_sha256) == (digest(prompts), digest(seeds))
        and settings.call == described(recipe)
    )


def _generation(recipe: Recipe) -> Generation:
    guidance = {} if recipe.guidance is None else {recipe.guidance_argument: recipe.guidance}
    size = {"height": recipe.height, "width": recipe.width, "frames": recipe.frames}
    return Generation(**size, guidance=guidance, dtype=recipe.dtype)


def calibrate_line(origin: Origin) -> list[str]:
    """The arguments of the command that makes the profile."""
    asked, settings = follow(origin.recipe, origin.schedule), origin.settings
    pairs = [
        (name, getattr(asked, name))
        for name in CALIBRATED
        if getattr(asked, name) != getattr(origin.recipe, name)
    ]
    if origin.schedule.grid.finer_steps is not None:
        pairs.append(("finer_steps", origin.schedule.grid.finer_steps))
    if settings is not None and settings.max_edge < settings.steps:
        pairs.append(("max_edge", settings.max_edge))
    flags = ["--no-propagation"] if settings is not None and not settings.propagation else []
    model = model_name(origin.schedule)
    return ["calibrate", model, *origin.named, *_options(pairs), *flags, "-o", PROFILE]


def solve_lines(origin: Origin) -> list[list[str]] | None:
    """The arguments of the commands that make the plans; None if there are no such commands."""
    schedule, made = origin.schedule, origin.made
    if prune(schedule).budgets != schedule.budgets:
        return None  # solve would leave some out
    refine = _refine_options(origin) if any(record.validated for record in made.plans) else []
    if refine is None:
        return None
    budgets = ",".join(map(str, schedule.budgets))
    solve = ["solve", PROFILE, "--budget", budgets, *_options(_choices(origin)), "-o", FILE]
    return [solve, ["refine", FILE, *refine, "--profile", PROFILE]] if refine else [solve]


def _choices(origin: Origin) -> list[tuple[str, object]]:
    """The options of ``solve`` that were not left at their defaults."""
    made, settings = origin.made, origin.settings
    given = signature(compiler.solve).parameters
    defaults: dict[str, object] = {name: given[name].default for name in CHOSEN}
    flow = origin.schedule.grid.displaced and made.planner == "path"
    defaults["predictors"] = ("fitted",) if flow else ("adams",)
    measured = settings is None or settings.propagation
    defaults["weighting"] = "propagated" if measured else "displacement"
    defaults["max_edge"] = origin.schedule.grid.steps if settings is None else settings.max_edge
    values = [(name, getattr(made, name)) for name in defaults]
    return [(name, value) for name, value in values if value != defaults[name]]


def _refine_options(origin: Origin) -> list[str] | None:
    """The options of ``refine`` for as many prompts; None if the plans differ in these.

    Half of the prompts judge: an odd ``--limit`` cannot be told from the even one below it.
    """
    scores = [record.candidates for record in origin.made.plans]
    judged = {max((each.samples for each in some), default=0) for some in scores}
    most = len(read_prompts(origin.recipe.prompts)) // 2
    if len(judged) > 1 or not 1 <= min(judged) <= most:
        return None
    limit = [] if judged == {most} else ["--limit", str(2 * min(judged))]
    return ["--model", model_name(origin.schedule), *origin.named, *limit]


def _options(pairs: list[tuple[str, object]]) -> list[str]:
    words = ((f"--{name.replace('_', '-')}", _word(value)) for name, value in pairs)
    return list(chain.from_iterable(words))


def _word(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
