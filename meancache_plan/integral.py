"""Adams–Bashforth of the flow, in terms of Adams–Bashforth on the grid.

On the grid an interval's terms are averaged over its step starts, as Euler's steps add velocities
up. A run whose steps are not Euler's comes nearer to the flow itself, where they are averaged over
the interval's noise levels: by as much are the grid's terms scaled. In an interval of one step
these vanish, and so do the gains.
"""

from collections.abc import Sequence

import numpy as np

from meancache_plan.objective import Measurements, is_exact

GAUSS = 1 / np.sqrt(3)
"""±: places in −1 … 1 whose mean integrates polynomials of up to the third degree exactly."""


def plain_gains(
    measured: Measurements, knots: Sequence[int], end: int, order: int
) -> tuple[float, ...]:
    """Return the gains that make ``knots[-1]→end`` plain Adams–Bashforth for these trajectories.

    All 1 where steps are Euler's; else those of :func:`integral_gains`.
    """
    if is_exact(measured):
        return (1.0,) * order
    return integral_gains(measured.sigmas, knots, end, order)


def integral_gains(
    sigmas: Sequence[float], knots: Sequence[int], end: int, order: int
) -> tuple[float, ...]:
    """Return the integral's terms over the grid's: 1, then ∫Π(σ − σ_r)dσ / Σ Δσ_k·Π(σ_k − σ_r).

    Args:
        sigmas: The grid.
        knots: Those up to the interval's start, at least ``order``.
        end: The interval's end s.
        order: Number of terms, 1 … 4.

    Example:
        >>> integral_gains((1.0, 0.75, 0.5, 0.25, 0.0), (0, 1), 3, 2)
        (1.0, 2.0)
    """
    levels = np.array(sigmas)[knots[-1] : end + 1]
    delta, h = np.diff(levels), levels[-1] - levels[0]
    inside = (levels[0] + levels[-1]) / 2 + h / 2 * np.array([-GAUSS, GAUSS])
    gains = [1.0]
    for j in range(1, order):
        nodes = np.array([sigmas[knot] for knot in reversed(knots[-j:])])
        on_grid = float(delta @ np.prod(levels[:-1, None] - nodes, axis=1))
        between = float(h * np.prod(inside[:, None] - nodes, axis=1).mean())
        gains.append(between / on_grid if len(delta) > 1 else 0.0)
    return tuple(gains)
