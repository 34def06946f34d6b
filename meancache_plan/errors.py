"""Everything that the compiler refuses, by name. Each message says what is wrong and what to do.

Errors about schedules, and the root :class:`MeanCacheError`, are the runtime's own.
"""

from operator import index
from typing import Any

from meancache_runtime.errors import MeanCacheError

__all__ = ["GridError", "InputError", "MeanCacheError", "MergeError", "ProfileError"]


class InputError(MeanCacheError, ValueError):
    """An argument is out of range, or names something unknown."""


class GridError(InputError):
    """The noise levels are no grid: see :func:`meancache_plan.core.grid.check_sigmas`."""


class BeatenError(InputError):
    """No plan of any budget is better than simply fewer steps."""


class ProfileError(MeanCacheError, ValueError):
    """The file or the data are not a valid profile."""


class MergeError(ProfileError):
    """The profiles do not belong to one calibration."""


def check_kind(what: str, value: Any, kind: type | tuple[type, ...], fix: str) -> None:
    """Refuse an argument of another kind. Raises InputError: ``what is …: fix``."""
    if not isinstance(value, kind):
        plain = isinstance(value, str | int | float | None)
        shown = repr(value)[:80] if plain else f"of type {type(value).__name__}"
        raise InputError(f"{what} is {shown}: {fix}")


def check_list(what: str, value: Any, fix: str) -> list[Any]:
    """The entries of a list, range, array, … of an argument. Raises InputError for a single one."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        check_kind(what, value, (), fix)
    return list(value)


def check_whole(what: str, value: Any, least: int | None = None) -> int:
    """An argument that is a whole number, from ``least`` on. Raises InputError."""
    try:
        number = index(value)
    except TypeError:
        check_kind(what, value, (), "give a whole number")
        raise
    if least is not None and number < least:
        raise InputError(f"{what} {number}: give {least} or more")
    return number
