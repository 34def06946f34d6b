"""Another grid without another calibration: interpolate the measured velocities in σ.

On a new grid, each velocity is a linear combination of measured ones, v′ = W·v, by cubic
interpolation over the four nearest noise levels. W depends on σ only, so the Gram matrix follows:
G′ = W·G·Wᵀ. That the new grid's own Euler steps would lead to slightly other latents is neglected.
Calibrate on the finer grid: what happens between two measured velocities is not known afterwards.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meancache_plan.errors import InputError
from meancache_plan.grid import check_sigmas
from meancache_plan.profile import Profile

NODES = 4
"""Measured velocities that a velocity is interpolated from: a cubic in σ."""


def transfer(profile: Profile, sigmas: Sequence[float]) -> Profile:
    """Return what calibration on another grid would have measured, as far as that is known.

    Exact where velocities are cubic polynomials of σ. The amplification of errors is kept, as it
    is known by σ; seconds are kept; L1 deviations are not there (``has_l1`` is False), and
    ``settings.transferred_from`` names the profile that was calibrated.

    Args:
        profile: What calibration measured.
        sigmas: The new grid, T′ + 1 noise levels in the same direction.

    Raises:
        GridError: ``sigmas`` is no grid.
        InputError: A step starts further than half a step beyond the measured velocities, the
            direction differs, or ``profile`` was itself carried over.
    """
    grid = check_sigmas(sigmas)
    if profile.settings.transferred_from is not None:
        raise InputError(
            "this profile was itself carried over to another grid: start from the one that "
            f"calibration measured ({profile.settings.transferred_from})"
        )
    weights = interpolation(profile.sigmas, grid)
    grams = weights @ profile.grams @ weights.T
    steps = len(grid) - 1
    changes = {
        "sigmas": grid,
        "max_edge": max(1, round(profile.settings.max_edge * steps / profile.steps)),
        "transferred_from": profile.fingerprint,
    }
    return replace(
        profile,
        settings=profile.settings.model_copy(update=changes),
        grams=(grams + grams.swapaxes(1, 2)) / 2,
        l1=np.empty((profile.samples, 0), dtype=np.float32),
    )


def interpolation(known: Sequence[float], wanted: Sequence[float]) -> NDArray[np.float64]:
    """Return W with v′ = W·v, float64 [T′, T]: velocities at one grid's steps from another's.

    Between the step starts of ``known`` a cubic through the four nearest, beyond them a straight
    line through the outermost two; every row sums to 1.

    Args:
        known: σ₀ … σ_T.
        wanted: σ′₀ … σ′_T′.

    Raises:
        InputError: As :func:`transfer`.
    """
    direction = np.sign(known[-1] - known[0])
    if np.sign(wanted[-1] - wanted[0]) != direction:
        raise InputError("the new noise levels run the other way: give them in the profile's order")
    nodes, points = direction * np.array(known), direction * np.array(wanted[:-1])
    steps = len(nodes) - 1
    lowest, highest = nodes[0] - (nodes[1] - nodes[0]) / 2, (nodes[-2] + nodes[-1]) / 2
    weights = np.zeros((len(points), steps))
    for row, point, sigma in zip(weights, points, wanted, strict=False):
        if not lowest <= point <= highest:
            raise InputError(
                f"noise level {sigma:.6g} is out of range: velocities were measured from "
                f"{known[0]:.6g} to {known[-2]:.6g}, and half a step beyond may be guessed; "
                "calibrate on a grid that reaches it"
            )
        inside = nodes[0] <= point <= nodes[-2]
        count = min(NODES if inside else 2, steps)
        first = int(np.searchsorted(nodes[:-1], point)) - count // 2
        first = min(max(first, 0), steps - count)
        row[first : first + count] = _lagrange(nodes[first : first + count], point)
    return weights


def _lagrange(nodes: NDArray[np.float64], point: float) -> NDArray[np.float64]:
    """The weights of the polynomial through values at ``nodes``, evaluated at ``point``."""
    weights = np.ones(len(nodes))
    for j, node in enumerate(nodes):
        others = np.delete(nodes, j)
        weights[j] = np.prod((point - others) / (node - others))
    return weights


def read_sigmas(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Read a grid from a text file: numbers apart by white space or commas, or a JSON list.

    Raises:
        InputError: The file is not readable, or holds something else.
        GridError: The numbers are no grid.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
        values = json.loads(text) if text.startswith("[") else text.replace(",", " ").split()
        numbers = [float(value) for value in values]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a readable list of noise levels ({error})") from error
    return check_sigmas(numbers)
