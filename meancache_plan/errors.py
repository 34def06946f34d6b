"""Everything that the compiler refuses, by name. Each message says what is wrong and what to do.

Errors about schedules, and the root :class:`MeanCacheError`, are the runtime's own.
"""

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
