"""What a schedule says that replay does not use, and that must be well-formed all the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ScheduleError
from .strict_json import (
    MAX_ITEMS,
    optional,
    quote,
    read_boolean,
    read_integer,
    read_list,
    read_number,
    read_object,
    read_text,
)

MAX_ELEMENTS = 1_000_000_000_000
MAX_CALLS = 1000
LARGEST = 1e6
"""Of a number that says something of a request."""

OTHERS = "other models"
"""What starting plans were carried over from, if it is not said."""

Value = str | float | bool
"""Of one thing that a request may say."""


@dataclass(frozen=True, slots=True)
class Generation:
    """How the samples were made that a schedule was calibrated on; None: not known.

    Attributes:
        height: Of a picture, in pixels.
        width: As ``height``.
        frames: Of a video; None for pictures too.
        guidance: The scales that the pipeline was called with, by the names of its arguments.
        dtype: Of the model.
        negative_prompt: Whether there was one that is not empty.
        attention: The backend that computed the denoisers' attention.
        quantisation: How their weights are quantised; ``"none"`` if they are not.
        elements: Numbers in one sample's latents.
        calls: How often a sample goes through the denoisers, for each of the T steps: 2 with
            guidance, by two calls or by one of a double batch.
        settings: What else the pipeline was called with that steers its samples, and how its
            guiders were set (:mod:`.call_settings`); ``"none"`` if a default was left out.
    """

    height: int | None
    width: int | None
    frames: int | None
    guidance: Mapping[str, float]
    dtype: str
    negative_prompt: bool | None = None
    attention: str | None = None
    quantisation: str | None = None
    elements: int | None = None
    calls: tuple[int, ...] | None = None
    settings: Mapping[str, Value] | None = None


@dataclass(frozen=True, slots=True)
class Also:
    """Another request than the calibration samples', at which a plan was measured too.

    Attributes:
        request: What is other in it, by the names of :class:`Generation`, of its guidance
            and of its settings.
        elements: As in :class:`Generation`, of this request.
        calls: Likewise.
        measured: The plan's quality there, as the file has it.
    """

    request: Mapping[str, Value]
    elements: int | None
    calls: tuple[int, ...] | None
    measured: Mapping[str, Any]


def read_provenance(value: Any) -> str | None:
    """Read where plans come from, any object or none, as far as a run's user is to know it.

    Returns:
        What plans were carried over from that nobody made for this model; None of all others.

    Raises:
        ScheduleError: It is no object.
    """
    made = optional(value, "provenance", _object)
    rule = None if made is None else made.get("start")
    if not isinstance(rule, dict):
        return None
    source = rule.get("source")
    return source if isinstance(source, str) and source else OTHERS


def read_generation(value: Any, where: str, steps: int) -> Generation:
    """Read how samples were made. Raises ScheduleError."""
    sizes = ("height", "width", "frames")
    keys = (*sizes, "guidance", "dtype", "negative_prompt", "attention", "quantisation")
    got = read_object(value, where, (*keys, "elements", "calls", "settings"))
    return Generation(
        **{
            key: optional(got[key], f"{where}.{key}", lambda v, w: read_integer(v, w, 1, 1_000_000))
            for key in sizes
        },
        guidance=_entries(got["guidance"], f"{where}.guidance", _scale),
        dtype=read_text(got["dtype"], f"{where}.dtype"),
        negative_prompt=optional(got["negative_prompt"], f"{where}.negative_prompt", read_boolean),
        attention=optional(got["attention"], f"{where}.attention", read_text),
        quantisation=optional(got["quantisation"], f"{where}.quantisation", read_text),
        settings=optional(
            got["settings"], f"{where}.settings", lambda v, w: _entries(v, w, _value)
        ),
        **_course(got, where, steps),
    )


def read_also(value: Any, where: str, steps: int) -> tuple[Also, ...]:
    """Read the other requests at which a plan was measured. Raises ScheduleError."""
    entries = read_list(value, where, MAX_ITEMS)
    return tuple(_also(entry, f"{where}[{i}]", steps) for i, entry in enumerate(entries))


def _also(value: Any, where: str, steps: int) -> Also:
    got = read_object(value, where, ("request", "elements", "calls", "measured"))
    check_measured(got["measured"], f"{where}.measured")
    request = _entries(got["request"], f"{where}.request", _value)
    if not request:
        raise ScheduleError(f"{where}.request: must not be empty")
    return Also(request, **_course(got, where, steps), measured=got["measured"])


def _course(got: Mapping[str, Any], where: str, steps: int) -> dict[str, Any]:
    """What a run shows as it goes on: its latents' size, and the calls of each step."""

    def read_elements(value: Any, place: str) -> int:
        return read_integer(value, place, 1, MAX_ELEMENTS)

    def read_calls(value: Any, place: str) -> tuple[int, ...]:
        entries = read_list(value, place, steps)
        if len(entries) != steps:
            raise ScheduleError(f"{place}: {len(entries)} values for {steps} steps")
        return tuple(read_integer(v, f"{place}[{i}]", 1, MAX_CALLS) for i, v in enumerate(entries))

    return {
        "elements": optional(got["elements"], f"{where}.elements", read_elements),
        "calls": optional(got["calls"], f"{where}.calls", read_calls),
    }


def _entries(value: Any, where: str, read: Callable[[Any, str], Any]) -> dict[str, Any]:
    """An object of a few names, and what ``read`` makes of each value."""
    if not isinstance(value, dict):
        raise ScheduleError(f"{where}: must be an object")
    if len(value) > MAX_ITEMS:
        raise ScheduleError(f"{where}: must have at most {MAX_ITEMS} entries")
    return {
        read_text(key, f"{where} key"): read(entry, f"{where}.{quote(key)}")
        for key, entry in value.items()
    }


def _scale(value: Any, where: str) -> float:
    return read_number(value, where, -LARGEST, LARGEST)


def _value(value: Any, where: str) -> Value:
    if isinstance(value, bool):
        return value
    return read_text(value, where) if isinstance(value, str) else _scale(value, where)


def _object(value: Any, where: str) -> dict[str, Any]:
    """For people and the compiler: any object, whatever it holds."""
    if not isinstance(value, dict):
        raise ScheduleError(f"{where}: must be an object")
    return value


def check_measured(value: Any, where: str) -> None:
    """Validate a plan's quality on held-out prompts."""
    keys = ("psnr_latent", "psnr", "ssim", "speedup", "samples", "prompts")
    got = read_object(value, where, keys)
    for key in ("psnr_latent", "psnr", "ssim", "speedup"):
        read_number(got[key], f"{where}.{key}", -1e6, 1e6)
    read_integer(got["samples"], f"{where}.samples", 1, 1_000_000_000)
    read_text(got["prompts"], f"{where}.prompts")
