"""A trajectory between its own noise levels: cubic interpolation in σ, as weights of what is known.

Latents know their slope, dz/dσ = v, so theirs is Hermite's: exact where z is a cubic in σ.
Velocities are interpolated over the four nearest, exact where v is a cubic; the slope of Hermite's
cubic would be their quadratic.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.errors import InputError

NODES = 4
"""Velocities that a velocity is interpolated from: a cubic in σ."""


def velocity_weights(known: Sequence[float], wanted: Sequence[float]) -> NDArray[np.float64]:
    """Return W with v′ = W·v, float64 [T′, T]: velocities at one grid's steps from another's.

    Between the step starts of ``known`` a cubic through the four nearest, beyond them a straight
    line through the outermost two; every row sums to 1.

    Args:
        known: σ₀ … σ_T.
        wanted: σ′₀ … σ′_T′.

    Raises:
        InputError: A step starts further than half a step beyond the known velocities, or the
            direction differs.
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


class LatentWeights(NamedTuple):
    """Weights with z′ = latents·z + velocities·v at n noise levels.

    Attributes:
        latents: Of z₀ … z_T, float64 [n, T + 1]; every row sums to 1.
        velocities: Of v₀ … v_{T−1}, float64 [n, T]; in units of σ.
    """

    latents: NDArray[np.float64]
    velocities: NDArray[np.float64]


def latent_weights(known: Sequence[float], wanted: Sequence[float]) -> LatentWeights:
    """Return the weights that give latents at noise levels of choice.

    Hermite's cubic between two levels; the parabola without the end's slope in the last step,
    where that is not known; beyond the ends straight on.

    Args:
        known: σ₀ … σ_T, strictly monotone.
        wanted: Noise levels, in any order.
    """
    sigmas, steps = np.array(known), len(known) - 1
    direction = np.sign(sigmas[-1] - sigmas[0])
    places = np.searchsorted(direction * sigmas, direction * np.array(wanted), side="right") - 1
    found = LatentWeights(np.zeros((len(wanted), steps + 1)), np.zeros((len(wanted), steps)))
    for row, (place, sigma) in enumerate(zip(places.tolist(), wanted, strict=True)):
        i = min(max(place, 0), steps - 1)
        h = sigmas[i + 1] - sigmas[i]
        after, leaving, arriving = _basis((sigma - sigmas[i]) / h, last=i + 1 == steps)
        found.latents[row, i : i + 2] = 1 - after, after
        found.velocities[row, i] = h * leaving
        if i + 1 < steps:
            found.velocities[row, i + 1] = h * arriving
    return found


def _basis(x: float, *, last: bool) -> tuple[float, float, float]:
    """At the part x of a step: weights of its end, and, times h, of the slopes at start and end."""
    if x <= 0:
        return 0.0, x, 0.0
    if x >= 1:
        return x, 0.0, 0.0
    if last:
        return x**2, x - x**2, 0.0
    return x**2 * (3 - 2 * x), x * (1 - x) ** 2, x**2 * (x - 1)
