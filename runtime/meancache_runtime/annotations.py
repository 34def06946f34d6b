"""What a schedule says that replay does not use, and that must be well-formed all the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ScheduleError
from .strict_json import (
    MAX_ITEMS,
    optional,
    quote,
    read_integer,
    read_number,
    read_object,
    read_text,
)


@dataclass(frozen=True, slots=True)
class Generation:
    """How the samples were made that a schedule was calibrated on.

    Attributes:
        height: Of a picture, in pixels; None if it is not known.
        width: As ``height``.
        frames: Of a video; None for pictures.
        guidance: The scales that the pipeline was called with, by the names of its arguments.
        dtype: Of the model.
    """

    height: int | None
    width: int | None
    frames: int | None
    guidance: Mapping[str, float]
    dtype: str


def check_provenance(value: Any) -> None:
    """Validate where plans come from: any object, or none."""
    optional(value, "provenance", _opaque)


def read_generation(value: Any, where: str) -> Generation:
    """Read how samples were made. Raises ScheduleError."""
    got = read_object(value, where, ("height", "width", "frames", "guidance", "dtype"))
    sizes = {
        key: optional(got[key], f"{where}.{key}", lambda v, w: read_integer(v, w, 1, 1_000_000))
        for key in ("height", "width", "frames")
    }
    guidance = got["guidance"]
    if not isinstance(guidance, dict):
        raise ScheduleError(f"{where}.guidance: must be an object")
    if len(guidance) > MAX_ITEMS:
        raise ScheduleError(f"{where}.guidance: must have at most {MAX_ITEMS} entries")
    scales = {
        read_text(key, f"{where}.guidance key"): read_number(
            number, f"{where}.guidance.{quote(key)}", -1e6, 1e6
        )
        for key, number in guidance.items()
    }
    return Generation(**sizes, guidance=scales, dtype=read_text(got["dtype"], f"{where}.dtype"))


def _opaque(value: Any, where: str) -> None:
    """For people and the compiler: any object, whatever it holds."""
    if not isinstance(value, dict):
        raise ScheduleError(f"{where}: must be an object")


def check_measured(value: Any, where: str) -> None:
    """Validate a plan's quality on held-out prompts."""
    keys = ("psnr_latent", "psnr", "ssim", "speedup", "samples", "prompts")
    got = read_object(value, where, keys)
    for key in ("psnr_latent", "psnr", "ssim", "speedup"):
        read_number(got[key], f"{where}.{key}", -1e6, 1e6)
    read_integer(got["samples"], f"{where}.samples", 1, 1_000_000_000)
    read_text(got["prompts"], f"{where}.prompts")
