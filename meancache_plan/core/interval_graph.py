"""The planning problem as a graph, and as the arrays that searches run on.

Nodes are the steps 0 … T; an edge t→s is an interval with one predictor that looks back K steps,
and weighs C^γ. A plan is a path 0→T of at most B edges (MeanCache, arXiv 2601.19961); where edges
were scored after the knot before (see :mod:`meancache_plan.core.interval_costs`), one of window K
has to follow one that starts at t − K.
"""

from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.interval_costs import Costs, edge_costs
from meancache_plan.core.objective import Measurements, Objective
from meancache_plan.core.parallel_edges import Edge


class Weighed(NamedTuple):
    """The intervals of a problem with their costs C and weights C^γ, each float64 [n]."""

    intervals: list[Edge]
    costs: NDArray[np.float64]
    weights: NDArray[np.float64]


def weighed(measured: Measurements, objective: Objective, costs: Costs = edge_costs) -> Weighed:
    """Weigh every interval over all samples.

    Raises:
        InputError: The objective cannot be met, or γ is too large for floats.
    """
    intervals: list[Edge] = []
    parts: list[NDArray[np.float64]] = []
    for chosen, each in costs(measured, objective):
        intervals += chosen
        parts.append(objective.reduce(each))
    found = np.concatenate(parts)
    return Weighed(intervals, found, objective.power(found))


def interval_graph(
    measured: Measurements, objective: Objective, costs: Costs = edge_costs
) -> "nx.MultiDiGraph[int]":
    """Build the multigraph: parallel edges t→s in the order in which ``costs`` has them.

    Nodes carry ``sigma``; edges ``predictor``, ``window`` (K, 0 without), ``cost`` C ≥ 0 and
    ``weight`` C^γ.

    Raises:
        InputError: See :func:`weighed`.
    """
    found = weighed(measured, objective, costs)
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    graph.add_nodes_from((step, {"sigma": sigma}) for step, sigma in enumerate(measured.sigmas))
    graph.add_edges_from(
        (c.start, c.end, {"predictor": c.predictor, "window": c.window, "cost": cost, "weight": w})
        for c, cost, w in zip(
            found.intervals, found.costs.tolist(), found.weights.tolist(), strict=True
        )
    )
    return graph
