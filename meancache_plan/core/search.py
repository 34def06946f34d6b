"""Searches for the lightest path 0→T of at most B intervals; exact.

Two ways to see the intervals: as edges t→s of a multigraph, by the paper's Peak-Suppressed Shortest
Path (MeanCache, arXiv 2601.19961); or, where an interval's weight depends on the knot before, as
arcs (r, t) → (t, s) of its line graph, weighing C(r, t, s)^γ. The former scores t→s as if any
earlier step had been a knot.

A search is prepared for a list of intervals over T ``steps``, once, and then run for as many
weights as one likes.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.parallel_edges import Edge
from meancache_plan.errors import InputError


class Path(NamedTuple):
    """A path 0→T: its intervals, and its weight Σ C^γ."""

    edges: tuple[Edge, ...]
    weight: float

    @property
    def knots(self) -> tuple[int, ...]:
        """The steps at which the intervals start."""
        return tuple(edge.start for edge in self.edges)


Search = Callable[[NDArray[np.float64], Sequence[int], int], dict[int, list[Path]]]
"""(weights ≥ 0 of the intervals, float64 [n]; budgets B ≥ 1; count) → for each B the ``count``
lightest paths, lightest first; a search may know fewer. Raises InputError where there is none."""


def pssp(intervals: Sequence[Edge], steps: int) -> Search:
    """Prepare the paper's search, which knows the lightest path.

    Dynamic programming over the number of edges. Among paths of equal weight: fewest edges, then
    lexicographically smallest knots, then, between parallel edges, the one that comes first.
    """
    known = [(edge.start, edge.end) for edge in intervals]
    lightest = _Lightest(known, (steps + 1, steps + 1))

    def search(
        weights: NDArray[np.float64], budgets: Sequence[int], count: int = 1
    ) -> dict[int, list[Path]]:
        weight, place = lightest(weights)
        to_go = np.full((max(budgets) + 1, steps + 1), np.inf)
        to_go[0, -1] = 0.0
        for b in range(1, len(to_go)):  # to_go[b, t] = min Σ C(e)^γ over paths t→T of b edges
            to_go[b] = (weight + to_go[b - 1]).min(axis=1)

        def trace(budget: int) -> Path:
            b, t, edges = int(to_go[: budget + 1, 0].argmin()), 0, list[Edge]()
            total = float(to_go[b, 0])
            if math.isinf(total):
                raise _no_path(budget)
            while b:
                b, s = b - 1, int((weight[t] + to_go[b - 1]).argmin())
                edges.append(intervals[place[t, s]])
                t = s
            return Path(tuple(edges), total)

        return {budget: [trace(budget)] for budget in budgets}

    return search


def path_consistent(intervals: Sequence[Edge], steps: int) -> Search:
    """Prepare the search whose paths follow an interval of window K only to t from t − K."""
    known = [(edge.start - edge.window, edge.start, edge.end) for edge in intervals]
    lightest = _Lightest(known, (steps, steps, steps + 1))

    def search(
        weights: NDArray[np.float64], budgets: Sequence[int], count: int = 1
    ) -> dict[int, list[Path]]:
        arcs, place = lightest(weights)

        def path(found: KnotPath) -> Path:
            ends = (*found.knots[1:], steps)
            places = zip((0, *found.knots), found.knots, ends, strict=False)
            return Path(tuple(intervals[place[triple]] for triple in places), found.weight)

        found = shortest_paths(LineGraph(arcs[0, 0], arcs), budgets, count)
        return {budget: [path(each) for each in paths] for budget, paths in found.items()}

    return search


def _no_path(budget: int) -> InputError:
    return InputError(f"budget {budget}: no path of so few edges reaches the last step")


class _Lightest:
    """Puts the lightest of parallel intervals, the first of these, into arrays by their places."""

    def __init__(self, places: Sequence[tuple[int, ...]], shape: tuple[int, ...]) -> None:
        self._shape = shape
        axes = np.array(places, dtype=np.int64).reshape(-1, len(shape)).T
        self._keys = np.ravel_multi_index(tuple(axes), shape)
        self._distinct, counts = np.unique(self._keys, return_counts=True)
        self._firsts = counts.cumsum() - counts

    def __call__(
        self, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The least weight at each place, ∞ where there is none, and whose it is (−1: nobody's)."""
        chosen = np.lexsort((weights, self._keys))[self._firsts]
        least, place = np.full(self._shape, np.inf), np.full(self._shape, -1)
        least.flat[self._distinct] = weights[chosen]
        place.flat[self._distinct] = chosen
        return least, place


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
            raise _no_path(budget)
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
