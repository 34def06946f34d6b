"""The predictors that a planner may choose between, scored on a full trajectory.

Each offers one parallel edge t→s for every window K that it can use at t. The formulas stand in
:mod:`meancache_runtime.binding`; here, every step's own velocity is known, as in calibration.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.deviation import dense, is_displaced, own_velocities, single_columns
from meancache_plan.errors import InputError
from meancache_runtime.binding import LinearForm, adams, average, jvp
from meancache_runtime.schedule import Adams, Hold, Jvp, Released
from meancache_runtime.schedule import Predictor as ReplayPredictor


class Candidate(NamedTuple):
    """An edge start→end with one predictor; ``window`` K is 0 for a predictor without one."""

    start: int
    end: int
    predictor: str
    window: int


@dataclass(frozen=True, slots=True)
class Predictor:
    """A rule for û(t→s).

    Attributes:
        windowed: Whether it looks K ≥ 1 steps back.
        form: (sigmas, t, s, K, displaced) → û as a linear form of the trajectory's own velocities;
            displaced: see :func:`meancache_runtime.binding.adams`.
        replay: K → the predictor as a schedule names it.
    """

    windowed: bool
    form: Callable[[Sequence[float], int, int, int, bool], LinearForm]
    replay: Callable[[int], ReplayPredictor]

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


PREDICTORS: dict[str, Predictor] = {
    "hold": Predictor(False, _hold, lambda _: Hold()),
    "jvp": Predictor(True, _jvp, Jvp),
    "released": Predictor(True, _jvp, Released),
    "adams": Predictor(True, _adams2, lambda _: Adams((1.0, 1.0))),
}
"""By name. ``released`` is the paper's formula for planning, the released scripts' for replay.
``adams`` is scored as if the previous knot were at t − K; replay takes the real one."""


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


def candidates(
    edges: Iterable[tuple[int, int]],
    predictors: Sequence[str],
    max_window: int,
    displaced: bool = False,
) -> list[Candidate]:
    """Return every edge with every predictor and K on offer, in the order given; K ascends.

    At step 0 there is no past, and an edge of one step needs no prediction: both have only
    ``hold``, whether named or not. Where steps are ``displaced``, one has ``adams`` as well,
    if it is named.
    """
    one_step = ("hold", *(name for name in predictors if name == "adams" and displaced))

    def names(start: int, end: int) -> Sequence[str]:
        if start == 0:
            return ("hold",)
        return one_step if end == start + 1 else predictors

    return [
        Candidate(start, end, name, window)
        for start, end in edges
        for name in names(start, end)
        for window in PREDICTORS[name].windows(start, max_window)
    ]


def residuals(
    sigmas: Sequence[float], chosen: Sequence[Candidate], displacements: range | None = None
) -> NDArray[np.float64]:
    """Return u(t→s) − û(t→s) of each candidate as weights of columns, float64 [n, columns].

    The weights of a row sum to 0. Where steps are Euler's, a candidate of one step has zeros.

    Args:
        sigmas: The grid, T + 1 noise levels.
        chosen: The candidates.
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
