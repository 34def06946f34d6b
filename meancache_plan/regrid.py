"""The grid that is asked for, by steps, shift or file, and the profile carried over to it."""

from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator

from meancache_plan.errors import InputError
from meancache_plan.grid import check_sigmas, shifted_sigmas
from meancache_plan.profile import Profile
from meancache_plan.transfer import read_sigmas, transfer
from meancache_runtime.schedule import MAX_STEPS


def on_grid(
    profile: Profile,
    *,
    steps: int | None = None,
    shift: float | None = None,
    sigmas: Path | None = None,
) -> Profile:
    """Return the profile on the grid that is asked for; itself if none is.

    Args:
        profile: What calibration measured.
        steps: T′; without ``shift`` the grid keeps the profile's shape.
        shift: A static shift: see :func:`meancache_plan.grid.shifted_sigmas`; T′ stays T without
            ``steps``.
        sigmas: A file of noise levels, which says it all.

    Raises:
        InputError: Values are out of range or contradict each other, or the grid reaches where
            nothing was measured.
    """
    if sigmas is not None:
        if steps is not None or shift is not None:
            raise InputError("--sigmas is a whole grid: leave out --steps and --shift")
        return transfer(profile, read_sigmas(sigmas))
    if steps is not None and not 2 <= steps <= MAX_STEPS:
        raise InputError(f"--steps {steps}: give 2 to {MAX_STEPS}")
    if shift is not None:
        if not 0 < shift <= 1000:
            raise InputError(f"--shift {shift:g}: give a positive number, such as 3")
        return transfer(profile, shifted_sigmas(steps or profile.steps, shift))
    if steps is None or steps == profile.steps:
        return profile
    return transfer(profile, resized(profile.sigmas, steps))


def resized(sigmas: tuple[float, ...], steps: int) -> tuple[float, ...]:
    """Return a grid of the same shape with another number of steps.

    σ is interpolated over i/T by a monotone cubic; of a grid with a static shift that is
    nearly the grid with this shift.

    Example:
        >>> resized((1.0, 0.75, 0.5, 0.25, 0.0), 2)
        (1.0, 0.5, 0.0)
    """
    shape = PchipInterpolator(np.linspace(0, 1, len(sigmas)), sigmas)
    levels = np.clip(shape(np.linspace(0, 1, steps + 1)), min(sigmas), max(sigmas))
    return check_sigmas(levels.tolist())
