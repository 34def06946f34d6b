"""Path-consistent planning: a shortest path on the line graph of the steps.

A predictor of order 2 depends on the knot before, so an interval's cost is C(r, t, s), with the
velocities that replay will really have. Nodes of the line graph are intervals (r, t); its arcs
(r, t) → (t, s) weigh C(r, t, s)^γ. Plain PSSP scores t→s as if any earlier step had been a knot.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.errors import InputError


class LineGraph(NamedTuple):
    """Weights of all arcs, ∞ where there is none.

    Attributes:
        first: float64 [T + 1], of 0→s as a path's first interval.
        arcs: float64 [T, T, T + 1], of t→s after r→t, at [r, t, s].
    """

    first: NDArray[np.float64]
    arcs: NDArray[np.float64]


class KnotPath(NamedTuple):
    """Knots of a path 0→T, and its weight."""

    knots: tuple[int, ...]
    weight: float


def shortest_paths(
    graph: LineGraph, budgets: Sequence[int], count: int = 1
) -> dict[int, list[KnotPath]]:
    """Return the ``count`` lightest paths of at most B intervals for each budget B; exact.

    Dynamic programming over the number of intervals b: with f(b, t, s) the least weight of a
    path 0→s of b intervals that ends with t→s, f(b, t, s) = min_r f(b−1, r, t) + C(r, t, s)^γ.
    Paths of equal weight: fewer intervals come first.

    Args:
        graph: The weights.
        budgets: Values B ≥ 1.
        count: How many paths per budget, fewer where there are no more.

    Raises:
        InputError: No path of at most B intervals reaches T.
    """
    lightest, origin = _tables(graph, max(budgets), count)
    found: dict[int, list[KnotPath]] = {}
    for budget in budgets:
        ends = lightest[1 : budget + 1, :, -1]  # [b, t, rank]
        order = np.argsort(ends, axis=None, kind="stable")[:count]
        places = [tuple(map(int, np.unravel_index(i, ends.shape))) for i in order]
        found[budget] = [
            KnotPath(_trace(origin, b + 1, t, rank), float(ends[b, t, rank]))
            for b, t, rank in places
            if np.isfinite(ends[b, t, rank])
        ]
        if not found[budget]:
            raise InputError(f"budget {budget}: no path of so few edges reaches the last step")
    return found


def _tables(
    graph: LineGraph, budget: int, count: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """f(b, t, s) of the ``count`` lightest, [b, t, s, rank], and where each came from.

    An origin is r·count + rank of the state (r, t) before.
    """
    steps = len(graph.arcs)
    lightest = np.full((budget + 1, steps, steps + 1, count), np.inf)
    origin = np.zeros(lightest.shape, dtype=np.int32)
    lightest[1, 0, :, 0] = graph.first
    for b in range(2, budget + 1):
        for t in range(1, steps):
            before = lightest[b - 1, :t, t]  # [r, rank]
            after = graph.arcs[:t, t, t + 1 :]  # [r, s]
            total = (before[:, None, :] + after[:, :, None]).swapaxes(1, 2).reshape(t * count, -1)
            best = _least(total, count)
            lightest[b, t, t + 1 :, : len(best)] = np.take_along_axis(total, best, axis=0).T
            origin[b, t, t + 1 :, : len(best)] = best.T
    return lightest, origin


def _least(total: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Rows of the ``count`` smallest values of each column, ascending."""
    if count == 1:
        return total.argmin(axis=0)[None]
    return np.argsort(total, axis=0, kind="stable")[:count]


def _trace(origin: NDArray[np.int32], b: int, t: int, rank: int) -> tuple[int, ...]:
    """Follow the origins back from the last interval t→T of a path of b intervals."""
    count = origin.shape[-1]
    knots, s = [t], origin.shape[2] - 1
    while b > 1:
        r, rank = divmod(int(origin[b, t, s, rank]), count)
        b, t, s = b - 1, r, t
        knots.append(t)
    return tuple(reversed(knots))
