"""Other requests than a schedule was calibrated for, at which its plans are judged too."""

from collections.abc import Mapping
from typing import Any

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import Generation
from meancache_plan.source.recipe import Recipe, override
from meancache_runtime.annotations import Value

SIZES = ("height", "width", "frames")
COMPARED = (*SIZES, "dtype", "negative_prompt", "attention", "quantisation")


def other_request(made: Generation | None, here: Generation) -> dict[str, Value]:
    """In what samples are made otherwise than those of a calibration, by names; {} in nothing.

    What is not known of either is none of it.
    """
    if made is None:
        return {}
    pairs = {name: (getattr(made, name), getattr(here, name)) for name in COMPARED}
    pairs |= {name: (scale, here.guidance.get(name)) for name, scale in made.guidance.items()}
    return {
        name: now
        for name, (there, now) in pairs.items()
        if there is not None and now is not None and there != now
    }


def asked_for(text: str, recipe: Recipe, made: Generation | None) -> Recipe:
    """The recipe of another request, such as ``"height=96,width=96"``.

    Args:
        text: In what it is other.
        recipe: Of the calibrated one.
        made: How the schedule says that calibration samples were made.

    Raises:
        InputError: It is no list of such pairs, a name or a value is not valid, or nobody could
            tell the request from the calibrated one.
    """
    if made is None:
        raise InputError(
            f"--also {text!r}: the schedule does not say how its calibration samples were made: "
            "leave it out, or calibrate and solve again"
        )
    options: dict[str, Any] = {}
    for pair in text.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        known = (*SIZES, "dtype", "negative_prompt", recipe.guidance_argument)
        if not equals or name not in known:
            raise InputError(
                f"--also {text!r}: give name=value, with a name of {', '.join(known)}; several "
                "with commas between them"
            )
        field = "guidance" if name == recipe.guidance_argument else name
        options[field] = _read(text, name, value)
        if getattr(recipe, field) == options[field] or _noted(made, name) is None:
            raise InputError(
                f"--also {text!r}: {name} is {getattr(recipe, field)} in calibration, from which "
                "this cannot be told apart: leave it out"
            )
    return override(recipe, **options)


def _noted(made: Generation, name: str) -> Value | None:
    return made.guidance.get(name, getattr(made, name, None))


def _read(text: str, name: str, value: str) -> str | int | float:
    if name in ("dtype", "negative_prompt"):
        return value
    try:
        return int(value) if name in SIZES else float(value)
    except ValueError as error:
        raise InputError(f"--also {text!r}: {name} is a number, not {value!r}") from error


def words(request: Mapping[str, Value]) -> str:
    """A request as people read it: ``height 96, width 96``."""
    return ", ".join(_words(name, value) for name, value in request.items())


def _words(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return f"{'a' if value else 'no'} {name.replace('_', ' ')}"
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"
