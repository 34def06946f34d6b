"""Recipes: how one model's samples are made, as TOML files in ``calibration/models/``."""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from meancache_plan.errors import InputError
from meancache_plan.files.validation import Pixels, Real, Text, first_reason
from meancache_plan.schedule.artifact import Generation, Schedule
from meancache_plan.source import catalog
from meancache_plan.source.recipe_pictures import read_picture
from meancache_runtime.call_settings import is_setting, of_guider

DType = Literal["float32", "bfloat16", "float16"]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


OURS = {"prompt", "num_inference_steps", "generator", "output_type", "callback_on_step_end"}
"""Arguments of a pipeline's call that no recipe may fix."""

LONGEST_RANGE = 100_000
"""What a range of numbers may span."""


def _numbers(text: str) -> str:
    parse_numbers(text, "")
    return text


Numbers = Annotated[str, AfterValidator(_numbers)]


class Recipe(BaseModel):
    """What fixes a model's samples; every command line option overrides its field.

    ``calibration/models/README.md`` says what each field means.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: Text | None = None
    revision: Text | None = None
    pipeline: Text | None = None
    steps: Annotated[int, Field(ge=2, le=1000)] = 50
    height: Pixels | None = None
    width: Pixels | None = None
    frames: Pixels | None = None
    guidance_argument: Text = "guidance_scale"
    guidance: Real | None = None
    negative_prompt: str | None = None
    call: dict[str, str | int | float | bool] = {}
    images: dict[Text, Text] = {}
    dtype: DType = "bfloat16"
    branches: Annotated[int, Field(ge=1, le=16)] = 1
    latent_shape: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    prompts: str = "images"
    heldout_prompts: str = "images-heldout"
    seeds: Numbers = "0-4"
    heldout_seeds: Numbers = "1000"
    budgets: Numbers | None = None

    @field_validator("call", "images")
    @classmethod
    def _leave_ours(cls, table: dict[str, Any]) -> dict[str, Any]:
        """Refuse arguments that every sample sets for itself."""
        for name in OURS & table.keys():
            raise ValueError(f"{name} is set for every sample: take it out")
        return table

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse budgets that the steps do not allow, and arguments that are given twice."""
        if self.budgets is not None:
            numbers = parse_numbers(self.budgets, "budgets")
            if not 1 <= numbers[0] <= numbers[-1] <= self.steps:
                allowed = f"{self.steps} steps allow 1 to {self.steps}"
                raise ValueError(f"budgets {self.budgets!r}: {allowed}")
        named = {"height": self.height, "width": self.width, "num_frames": self.frames}
        named |= {self.guidance_argument: self.guidance, "negative_prompt": self.negative_prompt}
        for name in self.call.keys() & {name for name, value in named.items() if value is not None}:
            raise ValueError(f"{name} is in [call] and has a key of its own: give it once")
        for name in self.images.keys() & self.call.keys():
            raise ValueError(f"{name} is in [call] and in [images]: give it once")
        for file in self.images.values():
            read_picture(Path(file))
        return self

    @model_validator(mode="after")
    def _keep_apart(self) -> Self:
        """Refuse to judge a schedule on what it was fitted on; case and spacing do not count."""
        fitted = {_folded(prompt) for prompt in read_prompts(self.prompts)}
        for prompt in read_prompts(self.heldout_prompts):
            if _folded(prompt) in fitted:
                raise ValueError(
                    f"{prompt!r} is a calibration prompt and a held-out one: keep them disjoint"
                )
        return self


def _folded(prompt: str) -> str:
    return " ".join(prompt.casefold().split())


def find_recipe(model: str, name: str | None) -> Recipe:
    """The recipe of this name or file; without one, the bundled recipe for ``model``.

    A model that no recipe knows gets the defaults: 50 steps, its pipeline's own size and guidance.

    Raises:
        InputError: The recipe does not exist or is not valid.
    """
    if name is not None:
        return load_recipe(recipe_file(name))
    for recipe in map(load_recipe, catalog.recipe_files().values()):
        if recipe.model == model:
            return recipe
    return Recipe(model=model or None)


def recipe_file(name: str) -> Path:
    """The file of a bundled recipe, or of a user's own.

    Raises:
        InputError: No such recipe exists; the message names the bundled ones.
    """
    files = catalog.recipe_files()
    file = files.get(name, Path(name))
    if not file.is_file():
        raise InputError(f"{name}: no such recipe; give a TOML file, or one of: {', '.join(files)}")
    return file


def load_recipe(file: Path) -> Recipe:
    """Read a recipe; its pictures lie beside it, or where their absolute paths say.

    Raises:
        InputError: The file is not a recipe; names the file, the field and the reason.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        return Recipe.model_validate(_beside(file, content))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{file}: not a readable TOML file ({error}): correct it") from error
    except ValidationError as error:
        raise InputError(f"{file}: {first_reason(error, 'recipe')}") from error


def _beside(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The recipe's content with its pictures' paths made absolute."""
    images = content.get("images")
    if not isinstance(images, dict):
        return content
    folder = file.resolve().parent
    found = {k: str(folder / v) if isinstance(v, str) else v for k, v in images.items()}
    return {**content, "images": found}


def override(recipe: Recipe, **options: Any) -> Recipe:
    """A copy of the recipe with every option that is not None put in its field's place.

    Options are the recipe's own fields by their names: pydantic checks them here as in files.

    What the recipe says of other steps or sizes than these goes: its budgets, its latents' shape.

    Raises:
        InputError: A value is not valid; the message names the field and the reason.
    """
    given = {key: value for key, value in options.items() if value is not None}
    changed = {key for key, value in given.items() if value != getattr(recipe, key)}
    if "steps" in changed:
        given = {"budgets": None, **given}
    if changed & {"height", "width", "frames"}:
        given = {"latent_shape": None, **given}
    try:
        return Recipe.model_validate({**recipe.model_dump(), **given})
    except ValidationError as error:
        raise InputError(first_reason(error, "recipe")) from error


def follow(recipe: Recipe, schedule: Schedule) -> Recipe:
    """The recipe with the steps, size, dtype and settings of the call that a schedule has."""
    options: dict[str, Any] = {"steps": schedule.grid.steps}
    if schedule.generation is not None:
        sizes = {"height", "width", "frames", "dtype"}
        options |= schedule.generation.model_dump(include=sizes)
        guidance = dict(schedule.generation.guidance)
        own = recipe.guidance_argument
        own = own if own in guidance else next(iter(guidance), own)
        options |= {"guidance_argument": own, "guidance": guidance.pop(own, None)}
        others = further_arguments(recipe, schedule.generation)
        options["call"] = {k: v for k, v in others.items() if k != own} | guidance
    return override(recipe, **options)


def further_arguments(
    recipe: Recipe, made: Generation | None
) -> dict[str, str | int | float | bool]:
    """A recipe's further arguments, with a schedule's settings in place of its own."""
    if made is None or made.settings is None:
        return dict(recipe.call)
    others = {k: v for k, v in recipe.call.items() if isinstance(v, str) or not is_setting(k)}
    asked = {k: v for k, v in made.settings.items() if not (isinstance(v, str) or of_guider(k))}
    return others | {name: _given(value, recipe.call.get(name)) for name, value in asked.items()}


def nested(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments, of which those with dotted names stand in dictionaries.

    Example:
        >>> nested({"guess_mode": False, "attention_kwargs.scale": 0.5})
        {'guess_mode': False, 'attention_kwargs': {'scale': 0.5}}
    """
    found: dict[str, Any] = {}
    for name, value in call.items():
        *heads, last = name.split(".")
        place = found
        for head in heads:
            place = place.setdefault(head, {})
        place[last] = value
    return found


def _given(value: float | bool, own: object) -> float | bool:
    """A setting as a call takes it: whole numbers, which files have as real ones, as integers."""
    if isinstance(own, bool | int | float) and own == value:
        return own
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_prompts(name: str) -> tuple[str, ...]:
    """Prompts of a bundled list or a text file: one per line; blank lines and # lines are skipped.

    Raises:
        InputError: The file is missing, is not UTF-8 text, holds none, or repeats one.
    """
    file = catalog.prompt_file(name)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not UTF-8 text ({error}): give one prompt a line") from error
    prompts = tuple(line for line in lines if line and not line.startswith("#"))
    if not prompts:
        raise InputError(f"{file}: holds no prompt; write one per line")
    for i, prompt in enumerate(prompts):
        if prompt in prompts[:i]:
            raise InputError(f"{file}: holds {prompt!r} twice")
    return prompts


def parse_numbers(text: str, what: str) -> tuple[int, ...]:
    """``"8,10,13"`` or ``"8-25"`` or a mix, as ascending distinct integers.

    Raises:
        InputError: Not of this form, or a range that runs backwards or is absurdly long.
    """
    numbers: set[int] = set()
    named = f"{what} {text!r}".lstrip()
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", part)
        if found is None:
            raise InputError(f"{named}: give a number, a list (8,10,13) or a range (8-25)")
        first, last = int(found[1]), int(found[2] or found[1])
        if first > last:
            raise InputError(f"{named}: {part} runs backwards: give {last}-{first}")
        if last > first + LONGEST_RANGE:
            raise InputError(f"{named}: {part} has more than {LONGEST_RANGE:,} numbers: give fewer")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def digest(values: Sequence[object]) -> str:
    """``sha256:…`` of a list of values, one per line."""
    return "sha256:" + hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()
