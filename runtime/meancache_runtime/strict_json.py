"""Strict JSON: reading, decoding, and typed access that names the place of whatever is wrong."""

import json
import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import ScheduleError

MAX_BYTES = 8 * 1024 * 1024
MAX_TEXT = 1000
MAX_ITEMS = 64
MAX_DIGITS = 300
MAX_HEADER = 100_000_000
"""Bytes of a safetensors file's header, at most."""

T = TypeVar("T")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file, of a schedule's greatest size at most.

    Raises:
        ScheduleError: The file cannot be read, is larger, or looks like a compiler's profile.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScheduleError(
            f"{path}: cannot be read ({error.strerror}); give the path of a schedule's JSON file, "
            "as `meancache-plan solve` writes it"
        ) from error
    if _is_safetensors(data):
        raise ScheduleError(
            f"{path}: looks like a profile (safetensors): solve it first "
            "(`meancache-plan solve FILE`), and give the schedule (JSON) that this writes"
        )
    if len(data) > MAX_BYTES:
        raise ScheduleError(f"{path}: larger than {MAX_BYTES} bytes: not a schedule")
    return data


def _is_safetensors(data: bytes) -> bool:
    """Whether a header of a possible length begins here; then the bytes are no JSON."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= MAX_HEADER


def decode(data: bytes) -> Any:
    """Decode strict JSON: UTF-8, no duplicate keys, no NaN or Infinity, bounded size.

    Raises:
        ScheduleError: The bytes are not such JSON.
    """
    if len(data) > MAX_BYTES:
        raise ScheduleError(f"larger than {MAX_BYTES} bytes: not a schedule")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_int=_short_integer,
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except ScheduleError:
        raise
    except UnicodeEncodeError as error:
        raise ScheduleError("a string has a lone surrogate: it is not Unicode text") from error
    except UnicodeDecodeError as error:
        raise ScheduleError(
            "not UTF-8 text: give a JSON file, such as `meancache-plan solve` writes"
        ) from error
    except RecursionError as error:
        raise ScheduleError("nested too deeply") from error
    except ValueError as error:
        raise ScheduleError(f"not JSON ({error}): get the whole file again") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ScheduleError(f"duplicate key {quote(key)}")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise ScheduleError(f"{name} is not a finite number")


def _short_integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ScheduleError(f"an integer of {len(digits)} digits is out of range")
    return int(digits)


def read_object(value: Any, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """The value as an object of exactly these keys."""
    if not isinstance(value, dict):
        raise ScheduleError(f"{where}: must be an object")
    faults = [f'"{key}" is missing' for key in keys if key not in value][:1]
    faults += [f"unknown key {quote(key)}" for key in value if key not in keys][:1]
    if faults:
        raise ScheduleError(f"{where}: {', '.join(faults)}")
    return value


def read_list(value: Any, where: str, most: int, least: int = 0) -> list[Any]:
    """The value as a list of ``least`` to ``most`` entries."""
    if not isinstance(value, list):
        raise ScheduleError(f"{where}: must be a list")
    if not least <= len(value) <= most:
        raise ScheduleError(f"{where}: {len(value)} entries; must be {least} to {most}")
    return value


def read_integer(value: Any, where: str, least: int, most: int) -> int:
    """The value as an integer in ``least`` to ``most``; neither ``true`` nor ``1.0`` is one."""
    if type(value) is not int:
        raise ScheduleError(f"{where}: must be an integer, not {quote(value)}")
    if not least <= value <= most:
        raise ScheduleError(f"{where}: {quote(value)} is out of range: {least} to {most}")
    return value


def read_number(value: Any, where: str, least: float, most: float) -> float:
    """The value as a finite number in ``least`` to ``most``."""
    if type(value) not in (int, float):
        raise ScheduleError(f"{where}: must be a number")
    if not abs(value) < math.inf:
        raise ScheduleError(f"{where}: must be finite")
    if not least <= value <= most:
        raise ScheduleError(f"{where}: {quote(value)} is out of range: {least} to {most}")
    return float(value)


def read_boolean(value: Any, where: str) -> bool:
    """The value as ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise ScheduleError(f"{where}: must be true or false")
    return value


def read_text(value: Any, where: str) -> str:
    """The value as a string of 1 to :data:`MAX_TEXT` code points."""
    if not isinstance(value, str):
        raise ScheduleError(f"{where}: must be a string")
    if not value:
        raise ScheduleError(f"{where}: must not be empty")
    if len(value) > MAX_TEXT:
        raise ScheduleError(f"{where}: must have at most {MAX_TEXT} characters")
    return value


def optional(value: Any, where: str, read: Callable[[Any, str], T]) -> T | None:
    """None for ``null``, else what ``read`` makes of the value."""
    return None if value is None else read(value, where)


def quote(value: Any) -> str:
    """The value as JSON, cut short: file contents never flood a terminal."""
    return "[…]" if isinstance(value, (dict, list)) else shorten(json.dumps(value))


def shorten(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= 60 else text[:57] + "..."
