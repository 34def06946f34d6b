"""What a schedule says that replay does not use, and that must be well-formed all the same."""

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


def check_annotations(top: dict[str, Any]) -> None:
    """Validate what replay does not use: how samples were made, and where plans come from."""
    optional(top["generation"], "generation", _generation)
    optional(top["provenance"], "provenance", _opaque)


def _generation(value: Any, where: str) -> None:
    got = read_object(value, where, ("height", "width", "frames", "guidance", "dtype"))
    for key in ("height", "width", "frames"):
        optional(got[key], f"{where}.{key}", lambda v, w: read_integer(v, w, 1, 1_000_000))
    guidance = got["guidance"]
    if not isinstance(guidance, dict):
        raise ScheduleError(f"{where}.guidance: must be an object")
    if len(guidance) > MAX_ITEMS:
        raise ScheduleError(f"{where}.guidance: must have at most {MAX_ITEMS} entries")
    for key, number in guidance.items():
        read_text(key, f"{where}.guidance key")
        read_number(number, f"{where}.guidance.{quote(key)}", -1e6, 1e6)
    read_text(got["dtype"], f"{where}.dtype")


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
