"""Other requests than a schedule was calibrated for, as ``evaluate --also`` takes them."""

import os
import re
from typing import Any, NamedTuple

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import Generation
from meancache_plan.source.diffusers.call_arguments import parameters
from meancache_plan.source.diffusers.guiders import with_guiders
from meancache_plan.source.diffusers.lora import with_lora
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe, override
from meancache_runtime.annotations import Value
from meancache_runtime.call_settings import is_setting, of_guider
from meancache_runtime.requests import SEEDS

SIZES = ("height", "width", "frames")
NUMBERS = (*SIZES, "scale")
FIELDS = (*SIZES, "dtype", "negative_prompt")
SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


class OtherRequest(NamedTuple):
    """Another request, as it was asked for.

    Attributes:
        recipe: Of its samples.
        lora: A file or hub id of a LoRA that is in effect.
        scale: By what its weights are multiplied.
        seeds: Those of its samples, if they are others than held-out samples have.
        guiders: How guiders of its pipeline are set, by names such as ``"guider.start"``.
    """

    recipe: Recipe
    lora: str | None = None
    scale: float = 1.0
    seeds: str | None = None
    guiders: tuple[tuple[str, float | bool], ...] = ()

    @property
    def unseen(self) -> dict[str, Value]:
        """What is other in it that its pipeline does not show."""
        return {} if self.seeds is None else {SEEDS: self.seeds}

    def settled(self) -> "OtherRequest":
        """The same in another process, whose folder may be another."""
        here = self.lora is not None and os.path.exists(self.lora)
        return self._replace(lora=os.path.abspath(self.lora or "")) if here else self


def asked_for(text: str, recipe: Recipe, made: Generation | None) -> OtherRequest:
    """Another request, such as ``"height=96,width=96"`` or ``"attention_kwargs.scale=0.5"``.

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
    call = dict(recipe.call)
    for name, value in _pairs(text, recipe, made):
        if name in ("lora", "scale"):
            others[name] = value
        elif name in _fields(recipe):
            field = {recipe.guidance_argument: "guidance", SEEDS: "heldout_seeds"}.get(name, name)
            fields[field] = value
            others |= {name: value} if name == SEEDS else {}
            known = name == SEEDS or _noted(made, name) is not None
            _check_other(text, name, getattr(recipe, field), value, known=known)
        else:
            _check_other(text, name, (made.settings or {}).get(name, call.get(name)), value)
            if of_guider(name):
                others["guiders"] = (*others.get("guiders", ()), (name, value))
            else:
                call[name] = fields.setdefault("call", call)[name] = value
    if "scale" in others and "lora" not in others:
        raise InputError(f"--also {text!r}: scale is that of a LoRA: give lora=FILE too")
    return OtherRequest(override(recipe, **fields), **others)


def _check_other(text: str, name: str, there: object, here: object, *, known: bool = True) -> None:
    if there == here or not known:
        raise InputError(
            f"--also {text!r}: {name} is {there} in calibration, from which this cannot be told "
            "apart: leave it out"
        )


def check_asked(source: Pipeline, request: OtherRequest, text: str) -> None:
    """Refuse what a pipeline cannot be asked for before any work is done.

    Raises:
        InputError: A LoRA cannot be loaded, or there is no such setting.
    """
    pipe, taken = source.pipe, parameters(source.pipe)
    with with_lora(pipe, request.lora, request.scale), with_guiders(pipe, dict(request.guiders)):
        pass
    open_ended = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    for name, value in request.recipe.call.items():
        own = taken.get(name.partition(".")[0])
        if own is None and not open_ended:
            raise _unknown(text, source.recipe, f" of the call of {type(pipe).__name__}")
        if own is not None and name not in source.recipe.call:
            _check_other(text, name, own.default, value)


def _fields(recipe: Recipe) -> tuple[str, ...]:
    return (*FIELDS, recipe.guidance_argument, SEEDS)


def _pairs(
    text: str, recipe: Recipe, made: Generation
) -> list[tuple[str, str | int | float | bool]]:
    pairs: list[tuple[str, str | int | float | bool]] = []
    for pair in text.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        setting = made.settings is not None and SETTING.fullmatch(name) and is_setting(name)
        if not equals or not (setting or name in (*_fields(recipe), "lora", "scale")):
            raise _unknown(text, recipe)
        pairs.append((name, _read(text, name, value, recipe)))
    return pairs


def _unknown(text: str, recipe: Recipe, where: str = "") -> InputError:
    names = ", ".join((*_fields(recipe), "lora", "scale"))
    return InputError(
        f"--also {text!r}: give name=value, with a name of {names}, or of a setting{where} that is "
        "a number or a truth value; several with commas between them"
    )


def _noted(made: Generation, name: str) -> Value | None:
    return made.guidance.get(name, getattr(made, name, None))


def _read(text: str, name: str, value: str, recipe: Recipe) -> str | int | float | bool:
    if name in ("dtype", "negative_prompt", SEEDS, "lora"):
        return value
    setting = name not in (*_fields(recipe), "scale")
    if setting and value.lower() in ("true", "false"):
        return value.lower() == "true"
    whole = name in SIZES or (setting and re.fullmatch(r"[+-]?\d+", value))
    try:
        return int(value) if whole else float(value)
    except ValueError as error:
        or_truth = ", or true or false" if setting else ""
        raise InputError(f"--also {text!r}: {name} is a number{or_truth}, not {value!r}") from error
