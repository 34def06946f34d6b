"""The paper's search: Peak-Suppressed Shortest Path over the multigraph of intervals."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.predictors import Candidate
from meancache_plan.errors import InputError


class Path(NamedTuple):
    """A path 0→T: its edges, and its weight Σ C(e)^γ, summed from the last edge to the first."""

    edges: tuple[Candidate, ...]
    weight: float

    @property
    def knots(self) -> tuple[int, ...]:
        """The steps at which the edges start."""
        return tuple(edge.start for edge in self.edges)


def pssp(graph: "nx.MultiDiGraph[int]", budgets: Sequence[int]) -> dict[int, Path]:
    """Return argmin Σ C(e)^γ over the paths 0→T of at most B edges, for each budget B.

    MeanCache's peak-suppressed shortest path (arXiv 2601.19961), exact: dynamic programming over
    the number of edges. Among paths of equal weight: fewest edges, then lexicographically
    smallest knots, then, between parallel edges, the one that joined the graph first.

    Args:
        graph: Nodes 0 … T; edges t→s, t < s, with ``predictor``, ``window`` and ``weight`` ≥ 0.
        budgets: Values B ≥ 1.

    Raises:
        InputError: No path of at most B edges reaches T.
    """
    weight, lightest = _lightest_parallel_edges(graph)
    to_go = np.full((max(budgets) + 1, len(weight)), np.inf)
    to_go[0, -1] = 0.0
    for b in range(1, len(to_go)):  # to_go[b, t] = min Σ C(e)^γ over paths t→T of b edges
        to_go[b] = (weight + to_go[b - 1]).min(axis=1)

    def trace(budget: int) -> Path:
        b, t, edges = int(to_go[: budget + 1, 0].argmin()), 0, list[Candidate]()
        total = float(to_go[b, 0])
        if math.isinf(total):
            raise InputError(f"budget {budget}: no path of so few edges reaches the last step")
        while b:
            b, s = b - 1, int((weight[t] + to_go[b - 1]).argmin())
            edges.append(lightest[t, s])
            t = s
        return Path(tuple(edges), total)

    return {budget: trace(budget) for budget in budgets}


def _lightest_parallel_edges(
    graph: "nx.MultiDiGraph[int]",
) -> tuple[NDArray[np.float64], dict[tuple[int, int], Candidate]]:
    """Return the least weight of an edge t→s, float64 [T + 1, T + 1] (∞: none), and that edge."""
    weight = np.full((len(graph), len(graph)), np.inf)
    lightest: dict[tuple[int, int], Candidate] = {}
    for t, s, edge in graph.edges(data=True):
        if edge["weight"] < weight[t, s]:
            weight[t, s] = edge["weight"]
            lightest[t, s] = Candidate(t, s, edge["predictor"], edge["window"])
    return weight, lightest
