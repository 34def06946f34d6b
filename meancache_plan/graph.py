"""The multigraph of intervals that PSSP searches (MeanCache, arXiv 2601.19961).

Nodes are the steps 0 … T; an edge t→s is an interval with one predictor, weighing C(e)^γ.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from meancache_plan.deviation import EdgeIndex, rms
from meancache_plan.errors import InputError
from meancache_plan.grid import edges
from meancache_plan.predictors import Candidate, candidates, residuals

LIGHTEST, HEAVIEST = 1e-300, 1e290
"""Range of an edge's weight: a path's sum stays a normal float, and within what plans may cost."""


class Measurements(Protocol):
    """What planning needs of a profile: see :class:`meancache_plan.profile.Profile`."""

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The grid, T + 1 noise levels."""
        ...

    @property
    def numel(self) -> int:
        """Elements N of a latent."""
        ...

    @property
    def index(self) -> EdgeIndex:
        """The triples (t, s, K) of the columns of ``l1``."""
        ...

    @property
    def grams(self) -> NDArray[np.float64]:
        """Gram matrices of the velocities, float64 [S, T, T]."""
        ...

    @property
    def l1(self) -> NDArray[np.float32]:
        """L1 deviations, float32 [S, n]."""
        ...


Metric = Callable[[Measurements, Sequence[Candidate]], NDArray[np.float64]]
"""(measurements, n candidates) → their costs C(e), each a mean over the samples, float64 [n]."""


def _l1(measured: Measurements, chosen: Sequence[Candidate]) -> NDArray[np.float64]:
    columns = {triple: column for column, triple in enumerate(measured.index)}
    for candidate in chosen:
        if candidate.predictor not in ("hold", "jvp"):
            raise InputError(
                f"metric l1 is not measured for predictor {candidate.predictor!r}: "
                "choose metric rms or displacement, or predictors hold and jvp"
            )
        if (candidate.start, candidate.end, candidate.window) not in columns:
            raise InputError(
                f"metric l1 is measured for edges of up to {measured.index.max_edge} steps: choose "
                "a smaller max_edge, or metric rms or displacement"
            )
    mean = measured.l1.mean(axis=0, dtype=np.float64)
    return mean[[columns[c.start, c.end, c.window] for c in chosen]]


def _rms(measured: Measurements, chosen: Sequence[Candidate]) -> NDArray[np.float64]:
    deviations = rms(measured.grams, measured.numel, residuals(measured.sigmas, chosen))
    return deviations.mean(axis=0)


def _displacement(measured: Measurements, chosen: Sequence[Candidate]) -> NDArray[np.float64]:
    sigmas = np.array(measured.sigmas)
    h = sigmas[[c.end for c in chosen]] - sigmas[[c.start for c in chosen]]
    return np.abs(h) * _rms(measured, chosen)


METRICS: dict[str, Metric] = {"l1": _l1, "rms": _rms, "displacement": _displacement}
"""mean|u − û| (the paper's), rms(u − û), and |h|·rms(u − û) in latent units."""


def deviation_graph(
    measured: Measurements,
    predictors: Sequence[str],
    metric: str,
    gamma: float,
    max_edge: int,
) -> "nx.MultiDiGraph[int]":
    """Build the graph: one parallel edge t→s for each predictor and K on offer, in that order.

    Edges carry ``predictor``, ``window`` (K, 0 without), ``cost`` C(e) ≥ 0 in the metric's unit,
    and ``weight`` C(e)^γ. An edge of one step is exact: its cost is 0.

    Args:
        measured: A profile.
        predictors: Names in :data:`meancache_plan.predictors.PREDICTORS`.
        metric: Name in :data:`METRICS`.
        gamma: γ > 0; above 1 it suppresses peaks.
        max_edge: Longest edge, 1 … T steps.

    Raises:
        InputError: The metric is not measured for these edges, or γ is too large for floats.
    """
    steps = len(measured.sigmas) - 1
    chosen = candidates(edges(steps, max_edge), predictors, measured.index.max_window)
    one_step = np.array([c.end - c.start == 1 for c in chosen])
    costs = np.where(one_step, 0.0, METRICS[metric](measured, chosen))
    weights = _power(costs, gamma)
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    graph.add_nodes_from(range(steps + 1))
    graph.add_edges_from(
        (c.start, c.end, {"predictor": c.predictor, "window": c.window, "cost": cost, "weight": w})
        for c, cost, w in zip(chosen, costs.tolist(), weights.tolist(), strict=True)
    )
    return graph


def _power(costs: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Return C^γ, refusing to lose a cost to overflow or underflow."""
    with np.errstate(over="ignore", under="ignore"):
        weights = costs**gamma
    lost = (costs > 0) & ~((weights >= LIGHTEST) & (weights <= HEAVIEST))
    if lost.any():
        raise InputError(
            f"gamma {gamma}: C(e)^γ leaves the range of floats for deviations from "
            f"{costs[costs > 0].min():.3g} to {costs.max():.3g}; choose a smaller gamma"
        )
    return weights
