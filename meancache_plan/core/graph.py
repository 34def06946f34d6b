"""The multigraph of intervals that PSSP searches (MeanCache, arXiv 2601.19961).

Nodes are the steps 0 … T; an edge t→s is an interval with one predictor, weighing C(e)^γ.
"""

from collections.abc import Sequence

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.deviation import is_displaced, rms
from meancache_plan.core.grid import edges
from meancache_plan.core.objective import WEIGHTINGS, Measurements, Objective
from meancache_plan.core.predictors import Candidate, candidates, residuals
from meancache_plan.errors import InputError

BLOCK = 10_000
"""Edges scored at once: all of them, on all samples, may not fit into memory."""


def deviation_graph(measured: Measurements, objective: Objective) -> "nx.MultiDiGraph[int]":
    """Build the graph: one parallel edge t→s for each predictor and K on offer, in that order.

    Edges carry ``predictor``, ``window`` (K, 0 without), ``cost`` C(e) ≥ 0, and ``weight``
    C(e)^γ. Where steps are Euler's, an edge of one step is exact: its cost is 0.

    Raises:
        InputError: The metric is not measured for these edges, or γ is too large for floats.
    """
    steps = len(measured.sigmas) - 1
    reach = edges(steps, min(objective.max_edge, steps), measured.switches)
    chosen = candidates(
        reach, objective.predictors, measured.index.max_window, is_displaced(measured.displacements)
    )
    costs = edge_costs(measured, objective, chosen)
    weights = objective.power(costs)
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    graph.add_nodes_from(range(steps + 1))
    graph.add_edges_from(
        (c.start, c.end, {"predictor": c.predictor, "window": c.window, "cost": cost, "weight": w})
        for c, cost, w in zip(chosen, costs.tolist(), weights.tolist(), strict=True)
    )
    return graph


def edge_costs(
    measured: Measurements, objective: Objective, chosen: Sequence[Candidate]
) -> NDArray[np.float64]:
    """Return C(e) of each candidate, float64 [n], scored on full trajectories."""
    blocks = [chosen[begin : begin + BLOCK] for begin in range(0, len(chosen), BLOCK)]
    return np.concatenate(
        [objective.reduce(sample_costs(measured, objective, block)) for block in blocks]
    )


def sample_costs(
    measured: Measurements, objective: Objective, chosen: Sequence[Candidate]
) -> NDArray[np.float64]:
    """Return the weighted deviation of each candidate on each sample, float64 [S, n]."""
    starts, ends = [c.start for c in chosen], [c.end for c in chosen]
    deviations = (_l1 if objective.metric == "l1" else _rms)(measured, chosen)
    exact = (not is_displaced(measured.displacements)) & (np.array(ends) - np.array(starts) == 1)
    factors = WEIGHTINGS[objective.weighting](measured)[starts, ends]
    return np.where(exact, 0.0, factors) * deviations


def _l1(measured: Measurements, chosen: Sequence[Candidate]) -> NDArray[np.float64]:
    columns = {triple: column for column, triple in enumerate(measured.index)}
    for candidate in chosen:
        if candidate.predictor not in ("hold", "jvp", "released"):
            raise InputError(
                f"metric l1 is not measured for predictor {candidate.predictor!r}: "
                "choose metric rms, or predictors hold, jvp and released"
            )
        if (candidate.start, candidate.end, candidate.window) not in columns:
            raise InputError(
                f"metric l1 is measured for edges of up to {measured.index.max_edge} steps: choose "
                "a smaller max_edge, or metric rms"
            )
    wanted = [columns[c.start, c.end, c.window] for c in chosen]
    return measured.l1[:, wanted].astype(np.float64)


def _rms(measured: Measurements, chosen: Sequence[Candidate]) -> NDArray[np.float64]:
    rows = residuals(measured.sigmas, chosen, measured.displacements)
    return rms(measured.grams, measured.numel, rows)
