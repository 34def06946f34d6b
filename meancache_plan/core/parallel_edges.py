"""The intervals on offer: between two steps, parallel edges with every predictor and K."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.columns import is_displaced, single_columns
from meancache_plan.core.deviation import dense
from meancache_plan.core.predictors import PREDICTORS
from meancache_runtime.binding import average


class Edge(NamedTuple):
    """An interval start→end with one predictor, which looks back to the step start − ``window``.

    ``window`` K is 0 if it was scored without a past; of an arc (r, t) → (t, s) it is t − r.
    """

    start: int
    end: int
    predictor: str
    window: int


def parallel_edges(
    edges: Iterable[tuple[int, int]],
    predictors: Sequence[str],
    max_window: int,
    displaced: bool = False,
) -> list[Edge]:
    """Return every edge with every predictor and K on offer, in the order given; K ascends.

    At step 0 there is no past, and an edge of one step needs no prediction: both have only
    ``hold``, whether named or not. Where steps are ``displaced``, one has those as well that are
    named and have ``one_step``.
    """
    single = [name for name in predictors if PREDICTORS[name].one_step and displaced]

    def names(start: int, end: int) -> Sequence[str]:
        if start == 0:
            return ("hold",)
        return ("hold", *single) if end == start + 1 else predictors

    return [
        Edge(start, end, name, window)
        for start, end in edges
        for name in names(start, end)
        for window in PREDICTORS[name].windows(start, max_window)
    ]


def residuals(
    sigmas: Sequence[float], chosen: Sequence[Edge], displacements: range | None = None
) -> NDArray[np.float64]:
    """Return u(t→s) − û(t→s) of each edge as weights of columns, float64 [n, columns].

    The weights of a row sum to 0. Where steps are Euler's, an edge of one step has zeros.

    Args:
        sigmas: The grid, T + 1 noise levels.
        chosen: The edges.
        displacements: The columns of what the steps moved with; the velocities' own by default.
    """
    columns = displacements or range(len(sigmas) - 1)
    moved, displaced = single_columns(columns), is_displaced(columns)
    means = {
        (start, end): average(sigmas, start, end, moved)
        for start, end in dict.fromkeys((c.start, c.end) for c in chosen)
    }
    forms = [PREDICTORS[c.predictor].form(sigmas, *c[:2], c.window, displaced) for c in chosen]
    rows = dense([means[c.start, c.end] for c in chosen], columns.stop)
    return rows - dense(forms, columns.stop)
