"""Other requests than a schedule was calibrated for, at which its plans are judged too."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import Generation, Schedule
from meancache_plan.source.recipe import Recipe, override
from meancache_runtime.annotations import Value
from meancache_runtime.other_adapters import other_adapters
from meancache_runtime.requests import NO_ADAPTERS, SEEDS, recognised
from meancache_runtime.schedule import Adapter

SIZES = ("height", "width", "frames")
NUMBERS = (*SIZES, "scale")
COMPARED = (*SIZES, "dtype", "negative_prompt", "attention", "quantisation")


class OtherRequest(NamedTuple):
    """Another request, as it was asked for.

    Attributes:
        recipe: Of its samples.
        lora: A file or hub id of a LoRA that is in effect.
        scale: By what its weights are multiplied.
        seeds: Those of its samples, if they are others than held-out samples have.
    """

    recipe: Recipe
    lora: str | None = None
    scale: float = 1.0
    seeds: str | None = None

    @property
    def unseen(self) -> dict[str, Value]:
        """What is other in it that its pipeline does not show."""
        return {} if self.seeds is None else {SEEDS: self.seeds}

    def settled(self) -> "OtherRequest":
        """The same in another process, whose folder may be another."""
        here = self.lora is not None and os.path.exists(self.lora)
        return self._replace(lora=os.path.abspath(self.lora or "")) if here else self


def other_request(
    schedule: Schedule, here: Generation, adapters: Sequence[Adapter]
) -> dict[str, Value]:
    """In what samples are made otherwise than those of a calibration, by names; {} in nothing.

    What is not known of either is none of it.

    Args:
        schedule: What was calibrated.
        here: How these samples are made.
        adapters: In effect in the denoisers meanwhile.

    Raises:
        InputError: The adapters are others, and nobody could recognise them.
    """
    made, found = schedule.generation, _adapters(schedule, adapters)
    if made is None:
        return found
    pairs = {name: (getattr(made, name), getattr(here, name)) for name in COMPARED}
    pairs |= {name: (scale, here.guidance.get(name)) for name, scale in made.guidance.items()}
    return found | {
        name: now
        for name, (there, now) in pairs.items()
        if there is not None and now is not None and there != now
    }


def _adapters(schedule: Schedule, here: Sequence[Adapter]) -> dict[str, Value]:
    model = schedule.model
    other = None if model is None else other_adapters(here, model.replayable().adapters)
    if other is None:
        return {}
    known = recognised(here)
    if known is None:
        raise InputError(
            f"{other}; to judge the schedule with these, keep them loaded and in memory, or nobody "
            "could tell them from others"
        )
    return {"adapters": known}


def asked_for(text: str, recipe: Recipe, made: Generation | None) -> OtherRequest:
    """Another request, such as ``"height=96,width=96"``.

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
    fields: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in _pairs(text, recipe):
        if name in ("lora", "scale"):
            others[name] = value
            continue
        field = {recipe.guidance_argument: "guidance", SEEDS: "heldout_seeds"}.get(name, name)
        fields[field] = value
        if name == SEEDS:
            others[name] = value
        if getattr(recipe, field) == value or (name != SEEDS and _noted(made, name) is None):
            raise InputError(
                f"--also {text!r}: {name} is {getattr(recipe, field)} in calibration, from which "
                "this cannot be told apart: leave it out"
            )
    if "scale" in others and "lora" not in others:
        raise InputError(f"--also {text!r}: scale is that of a LoRA: give lora=FILE too")
    return OtherRequest(override(recipe, **fields), **others)


def _pairs(text: str, recipe: Recipe) -> list[tuple[str, str | int | float]]:
    names = (*SIZES, "dtype", "negative_prompt", recipe.guidance_argument, "lora", "scale", SEEDS)
    pairs: list[tuple[str, str | int | float]] = []
    for pair in text.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in names:
            raise InputError(
                f"--also {text!r}: give name=value, with a name of {', '.join(names)}; several "
                "with commas between them"
            )
        pairs.append((name, _read(text, name, value, (*NUMBERS, recipe.guidance_argument))))
    return pairs


def _noted(made: Generation, name: str) -> Value | None:
    return made.guidance.get(name, getattr(made, name, None))


def _read(text: str, name: str, value: str, numbers: tuple[str, ...]) -> str | int | float:
    if name not in numbers:
        return value
    try:
        return int(value) if name in SIZES else float(value)
    except ValueError as error:
        raise InputError(f"--also {text!r}: {name} is a number, not {value!r}") from error


def words(request: Mapping[str, Value]) -> str:
    """A request as people read it: ``height 96, width 96``."""
    return ", ".join(_words(name, value) for name, value in request.items())


def _words(name: str, value: Value) -> str:
    if name == "adapters" and isinstance(value, str):
        digests = re.findall(r"sha256:(\w{8})", value)
        return f"the adapters {', '.join(digests)}" if value != NO_ADAPTERS else "no adapters"
    if isinstance(value, bool):
        return f"{'a' if value else 'no'} {name.replace('_', ' ')}"
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"
