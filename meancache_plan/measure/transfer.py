"""Another grid without another calibration: interpolate the measured velocities in σ.

On a new grid, each velocity is a linear combination of measured ones, v′ = W·v, by cubic
interpolation over the four nearest noise levels. W depends on σ only, so the Gram matrix follows:
G′ = W·G·Wᵀ. That the new grid's own Euler steps would lead to slightly other latents is neglected.
Calibrate on the finer grid: what happens between two measured velocities is not known afterwards.
Where displacements were measured, the latents between are interpolated as well.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from meancache_plan.core.grid import SAME, check_sigmas, parted, shifted_sigmas
from meancache_plan.core.interpolation import latent_weights, velocity_weights
from meancache_plan.errors import GridError, InputError
from meancache_plan.measure.profile import Profile
from meancache_runtime.schedule import MAX_STEPS
from meancache_runtime.strict_json import shorten

MAX_BYTES = 1024 * 1024
"""Of a file of noise levels, at most."""


def transfer(profile: Profile, sigmas: Sequence[float]) -> Profile:
    """Return what calibration on another grid would have measured, as far as that is known.

    Exact where velocities are cubic polynomials of σ. A change of denoisers moves to the first step
    at or after its noise level. The propagation of errors is kept, as it
    is known by σ; seconds are kept; L1 deviations are not there (``has_l1`` is False), and
    ``settings.transferred_from`` names the profile that was calibrated.

    Args:
        profile: What calibration measured.
        sigmas: The new grid, T′ + 1 noise levels in the same direction; the last may be repeated.

    Raises:
        GridError: ``sigmas`` is not a grid.
        InputError: A step starts further than half a step beyond the measured velocities, the
            direction differs, ``profile`` was itself carried over, or the finer run that it aims
            at has no more steps than the new grid.
    """
    grid, still_steps = parted(sigmas)
    if profile.settings.transferred_from is not None:
        raise InputError(
            "this profile was itself carried over to another grid: start from the one that "
            f"calibration measured ({profile.settings.transferred_from})"
        )
    _check_finer(profile.settings.finer_steps, len(sigmas) - 1)
    weights = _carried(profile.sigmas, grid, profile.settings.displaced)
    grams = weights @ profile.grams @ weights.T
    steps = len(grid) - 1
    changes = {
        "sigmas": grid,
        "num_inference_steps": None,
        "max_edge": max(1, round(profile.settings.max_edge * steps / profile.steps)),
        "switches": _switches(profile, grid),
        "calls": _calls(profile.settings.calls, steps + still_steps),
        "still_steps": still_steps,
        "transferred_from": profile.fingerprint,
    }
    return replace(
        profile,
        settings=profile.settings.model_copy(update=changes),
        grams=(grams + grams.swapaxes(1, 2)) / 2,
        l1=np.empty((profile.samples, 0), dtype=np.float32),
    )


def _check_finer(finer_steps: int | None, steps: int) -> None:
    if finer_steps is not None and finer_steps <= steps:
        raise InputError(
            f"the profile aims at a finer run of {finer_steps} steps, no more than the {steps} of "
            f"the new grid: calibrate with more finer steps than that"
        )


def _carried(known: Sequence[float], grid: Sequence[float], displaced: bool) -> NDArray[np.float64]:
    """Weights of a profile's columns for each column on the new grid."""
    velocities = velocity_weights(known, grid)
    if not displaced:
        return velocities
    steps, delta = len(known) - 1, np.diff(known)
    at = latent_weights(known, grid)
    led = at.latents @ (np.tri(steps + 1, steps, -1) * delta)  # z_i − z₀ = Σ Δσ_k·w_k, k < i
    moved = np.diff(np.hstack([at.velocities, led]), axis=0) / np.diff(grid)[:, None]
    return np.vstack([np.hstack([velocities, np.zeros_like(velocities)]), moved])


def _switches(profile: Profile, grid: Sequence[float]) -> tuple[int, ...]:
    """The steps of the new grid that are the first at or after a change of denoisers."""
    falls = -1.0 if grid[0] > grid[-1] else 1.0
    levels = [profile.sigmas[switch] for switch in profile.switches]
    places = np.searchsorted(falls * np.array(grid), falls * np.array(levels) - SAME)
    return tuple(sorted({place for place in places.tolist() if 0 < place < len(grid) - 1}))


def _calls(known: tuple[int, ...] | None, steps: int) -> tuple[int, ...] | None:
    """Those of every step, where all are alike; where guidance is for some, nobody can tell."""
    return known[:1] * steps if known and len(set(known)) == 1 else None


def read_sigmas(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Read a grid from a text file: numbers between white space or commas, or a JSON list.

    Raises:
        InputError: The file is not readable, or holds something else.
        GridError: The numbers are not a grid.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        text = data.decode().strip()
        values = json.loads(text) if text.startswith("[") else text.replace(",", " ").split()
        numbers = [float(value) for value in values]
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{path}: not a readable list of noise levels ({shorten(str(error))}): give T + 1 "
            "numbers, separated by white space or commas"
        ) from error
    try:
        parted(numbers)
    except GridError as error:
        raise GridError(f"{path}: {error}") from error
    return tuple(numbers)


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
        steps: T′, all steps of a run; without ``shift`` the grid keeps the profile's shape, and as
            many steps of no length at its end.
        shift: A static shift: see :func:`meancache_plan.core.grid.shifted_sigmas`; T′ stays T
            without ``steps``.
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
            raise InputError(f"--shift {shift:g}: give more than 0, at most 1000")
        return transfer(profile, shifted_sigmas(steps or profile.settings.run_steps, shift))
    if steps is None or steps == profile.settings.run_steps:
        return profile
    return transfer(profile, _same_shape(profile, steps))


def _same_shape(profile: Profile, steps: int) -> tuple[float, ...]:
    """The noise levels of a run of so many steps, as many of no length as the profile's."""
    still_steps = profile.settings.still_steps
    if steps <= still_steps:
        raise InputError(
            f"--steps {steps}: the last {still_steps} of this model's runs move nothing: give more"
        )
    grid = resized(profile.sigmas, steps - still_steps)
    return grid + grid[-1:] * still_steps


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
