"""The registry of predictors: each named once, with all in which they differ.

The formulas themselves stand in :mod:`meancache_runtime.binding`. A planner scores a predictor's
intervals in one of two ways: each alone, on a full run, where every step's own velocity is
known (``form``); or after the knot before, with the velocities that replay will have (``errors``:
the squared norm of what it misses of z_s for each sample, r and s).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.deviation import dense, is_displaced, own_velocities, single_columns
from meancache_plan.core.moments import Moments
from meancache_plan.errors import InputError
from meancache_runtime.binding import LinearForm, adams, average, jvp
from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from meancache_runtime.predictors import Predictor as ReplayPredictor

SHRINKAGE = 0.1
"""Ridge towards plain Adams–Bashforth with which arcs are scored for ``fitted``, relative to a
term's own size; a plan's gains are fitted again, with a shrinkage of their own."""


class Edge(NamedTuple):
    """An interval start→end with one predictor, which looks back to the step start − ``window``.

    ``window`` K is 0 if it was scored without a past; of an arc (r, t) → (t, s) it is t − r.
    """

    start: int
    end: int
    predictor: str
    window: int


@dataclass(frozen=True, slots=True)
class Predictor:
    """A rule for û(t→s).

    Attributes:
        form: (sigmas, t, s, K, displaced) → û as a linear form of the trajectory's own velocities;
            displaced: see :func:`meancache_runtime.binding.adams`.
        replay: K → the predictor as a schedule names it; None if its gains are fitted to a plan.
        errors: Moments at a knot → the squared norms of its misses, float64 that broadcasts to
            [S, r, s]; None if it may look further back than to the knot before.
        windowed: Whether, on a full run, it looks K ≥ 1 steps back.
        one_step: Whether it is on offer for a single step, where steps are displaced.
        has_l1: Whether calibration measures its L1 deviations.
        colour: Of its knots on a light background, #rrggbb; told apart by colour-blind people too.
        on_dark: The same on a dark one.
    """

    form: Callable[[Sequence[float], int, int, int, bool], LinearForm]
    replay: Callable[[int], ReplayPredictor] | None
    errors: Callable[[Moments], NDArray[np.float64]] | None = None
    windowed: bool = False
    one_step: bool = False
    has_l1: bool = False
    colour: str = "#555555"
    on_dark: str = "#aaaaaa"

    def windows(self, start: int, max_window: int) -> range:
        """Return the windows K on offer at knot ``start``: only 0 without windows."""
        return range(1, min(start, max_window) + 1) if self.windowed else range(1)


def _hold(
    sigmas: Sequence[float], start: int, end: int, window: int, displaced: bool
) -> LinearForm:
    return {start: 1.0}


def _jvp(sigmas: Sequence[float], start: int, end: int, window: int, displaced: bool) -> LinearForm:
    own = own_velocities(len(sigmas) - 1)
    return jvp(sigmas, start, end, window, own, own)


def _adams2(
    sigmas: Sequence[float], start: int, end: int, window: int, displaced: bool
) -> LinearForm:
    return adams(sigmas, (start - window, start), end, (1.0, 1.0), displaced)


def hold_errors(found: Moments) -> NDArray[np.float64]:
    """With û = v_t."""
    return found.aa[:, None]


def adams_errors(found: Moments) -> NDArray[np.float64]:
    """With û of Adams–Bashforth over two knots."""
    return found.aa[:, None] - 2 * found.ay + found.yy


def fitted_errors(found: Moments) -> NDArray[np.float64]:
    """With û = α·v_t + β·(…): α and β by least squares over all samples, shrunk towards 1."""
    xx, xy, yy, ax, ay = (
        moment.mean(axis=0)
        for moment in (found.xx[:, None], found.xy, found.yy, found.ax[:, None], found.ay)
    )
    wide, high = (1 + SHRINKAGE) * xx, (1 + SHRINKAGE) * yy
    pull = ay + SHRINKAGE * yy
    tiny = np.finfo(float).tiny
    determinant = np.maximum(wide * high - xy**2, tiny)
    alone = ax / np.maximum(wide, tiny)  # where y = 0, as in one of Euler's steps
    excess = np.where(high > 0, (high * ax - xy * pull) / determinant, alone)  # α − 1
    beta = (wide * pull - xy * ax) / determinant
    return (
        found.aa[:, None]
        - 2 * (excess * found.ax[:, None] + beta * found.ay)
        + excess**2 * found.xx[:, None]
        + 2 * excess * beta * found.xy
        + beta**2 * found.yy
    )


PREDICTORS: dict[str, Predictor] = {
    "hold": Predictor(
        _hold,
        lambda _: Hold(),
        hold_errors,
        has_l1=True,
        colour="#3b6ea5",
        on_dark="#7fb0e6",
    ),
    "jvp": Predictor(_jvp, Jvp, windowed=True, has_l1=True, colour="#b8690a", on_dark="#f0ad4e"),
    "released": Predictor(
        _jvp, Released, windowed=True, has_l1=True, colour="#96428a", on_dark="#d790cd"
    ),
    "adams": Predictor(
        _adams2,
        lambda _: Adams((1.0, 1.0)),
        adams_errors,
        windowed=True,
        one_step=True,
        colour="#1d7d50",
        on_dark="#5cc795",
    ),
    "fitted": Predictor(
        _adams2,
        None,
        fitted_errors,
        windowed=True,
        one_step=True,
        colour="#0f8b8d",
        on_dark="#4fd1d3",
    ),
}
"""By name; what replays has the name of :data:`meancache_runtime.predictors.Predictor`.

``released`` is the paper's formula for planning, the released scripts' for replay. On a full
trajectory ``adams`` is scored as if the previous knot were at t − K; replay takes the real one.
``fitted`` is ``adams``, of any order, with gains for each interval of a plan; its ``form`` has the
gains 1.
"""


def check_predictors(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return ``names`` as a tuple, each in ``known`` and named once.

    Raises:
        InputError: A name is unknown or repeated, or there is none.
    """
    listed = ", ".join(known)
    for name in names:
        if name not in known:
            raise InputError(f"predictor {name!r} is not one of the planner's: {listed}")
    if not names or len(set(names)) < len(names):
        raise InputError(f"predictors {list(names)}: name at least one of {listed}, each once")
    return tuple(names)


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
