"""The registry of predictors: each named once, with all in which they differ.

The formulas themselves stand in :mod:`meancache_runtime.binding`. A planner scores a predictor's
intervals in one of two ways: each alone, on a full run, where every step's own velocity is
known (``form``); or after the knot before, with the velocities that replay will have (``errors``:
the squared norm of what it misses of z_s for each sample, r and s). Help lists them, so nothing
that is slow to import, NumPy included, is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from meancache_plan.core.columns import own_velocities
from meancache_plan.errors import InputError
from meancache_runtime.binding import LinearForm, adams, jvp
from meancache_runtime.predictors import MAX_ORDER, Adams, Hold, Jvp, Released

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from meancache_plan.core.moments import Moments
    from meancache_runtime.predictors import Predictor as ReplayPredictor

SHRINKAGE = 0.1
"""Ridge towards plain Adams–Bashforth with which arcs are scored for ``fitted``, relative to a
term's own size; a plan's gains are fitted again, with a shrinkage of their own."""


class Terms(NamedTuple):
    """What gains scale: û = Σ gain·term; of gains 1 it is the rule itself, and the first is v_t.

    Attributes:
        name: Of the predictor that files have.
        forms: (sigmas, knots, s, p, displaced) → the first p terms of the interval that begins at
            the last of these knots, as linear forms of the last p knots' velocities.
        scaled: Gains → the predictor as a schedule names it.
        gains: The gains of a schedule's predictor; None if it is another.
        most: How many terms there are at most.
    """

    name: str
    forms: Callable[[Sequence[float], Sequence[int], int, int, bool], list[LinearForm]]
    scaled: Callable[[tuple[float, ...]], ReplayPredictor]
    gains: Callable[[ReplayPredictor], tuple[float, ...] | None]
    most: int = MAX_ORDER

    def of(self, predictor: ReplayPredictor) -> tuple[float, ...] | None:
        """Gains of a plan's interval; one of ``hold`` is the first term alone."""
        return (1.0,) if isinstance(predictor, Hold) else self.gains(predictor)


class Raced(NamedTuple):
    """In which way ``refine`` makes plans that have a predictor, to try beside others.

    Attributes:
        planner: Name in :data:`meancache_plan.plan.planners.PLANNERS`.
        gamma: As the others below, a choice of :class:`meancache_plan.core.objective.Objective`.
        statistic: Likewise.
        metric: Likewise.
        weighting: Likewise; None for ``width``, and for ``propagated`` where it was measured.
        order: Likewise.
        beside: Predictors that may be mixed with it.
        paths: How many of the lightest are raced, with the last of the weightings.
        baseline: Whether one has such plans without refining.
    """

    planner: str
    gamma: float
    statistic: str = "mean"
    metric: str = "rms"
    weighting: str | None = None
    order: int = 2
    beside: tuple[str, ...] = ()
    paths: int = 1
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class Predictor:
    """A rule for û(t→s).

    Attributes:
        form: (sigmas, t, s, K, displaced) → û as a linear form of the trajectory's own velocities;
            displaced: see :func:`meancache_runtime.binding.adams`.
        replay: K → the predictor as a schedule names it; None if its gains are fitted to a plan.
        terms: What its gains scale, if it has any: refining fits them in closed loop.
        raced: Plans with it that refining tries.
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
    terms: Terms | None = None
    raced: tuple[Raced, ...] = ()
    one_step: bool = False
    has_l1: bool = False
    colour: str = "#555555"
    on_dark: str = "#aaaaaa"

    def windows(self, start: int, max_window: int) -> range:
        """Return the windows K on offer at knot ``start``: only 0 without windows."""
        return range(1, min(start, max_window) + 1) if self.windowed else range(1)

    def unfitted(self, window: int, order: int) -> ReplayPredictor:
        """As a plan has it before gains are fitted: of ``order`` terms, if they are to be."""
        if self.replay is not None:
            return self.replay(window)
        assert self.terms is not None, "a predictor without replay has gains"
        return self.terms.scaled((1.0,) * min(order, self.terms.most))


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


def adams_terms(
    sigmas: Sequence[float], knots: Sequence[int], end: int, order: int, displaced: bool
) -> list[LinearForm]:
    """The Adams terms of ``knots[-1]→end``, each as a linear form: û = Σ g_j·terms[j]."""
    return [
        adams(sigmas, knots, end, tuple(float(i == j) for i in range(j + 1)), displaced)
        for j in range(order)
    ]


def adams_gains(predictor: ReplayPredictor) -> tuple[float, ...] | None:
    """Those of Adams–Bashforth; None if it is another rule."""
    return predictor.gains if isinstance(predictor, Adams) else None


ADAMS = Terms(Adams.name, adams_terms, Adams, adams_gains)
PAPERS = Raced("pssp", 4.0, metric="l1", weighting="none", beside=("hold",), baseline=True)


def hold_errors(found: Moments) -> NDArray[np.float64]:
    """With û = v_t."""
    return found.aa[:, None]


def adams_errors(found: Moments) -> NDArray[np.float64]:
    """With û of Adams–Bashforth over two knots."""
    return found.aa[:, None] - 2 * found.ay + found.yy


def fitted_errors(found: Moments) -> NDArray[np.float64]:
    """With û = α·v_t + β·(…): α and β by least squares over all samples, shrunk towards 1."""
    excess, beta = found.least_squares(SHRINKAGE)
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
    "jvp": Predictor(
        _jvp,
        Jvp,
        windowed=True,
        raced=(PAPERS,),
        has_l1=True,
        colour="#b8690a",
        on_dark="#f0ad4e",
    ),
    "released": Predictor(
        _jvp,
        Released,
        windowed=True,
        raced=(PAPERS,),
        has_l1=True,
        colour="#96428a",
        on_dark="#d790cd",
    ),
    "adams": Predictor(
        _adams2,
        lambda _: Adams((1.0, 1.0)),
        adams_errors,
        windowed=True,
        terms=ADAMS,
        raced=(
            Raced("pssp", 4.0),
            Raced("path", 1.0),
            Raced("path", 2.0),
            Raced("path", 4.0, paths=3),
            Raced("path", 2.0, "cvar:0.9"),
        ),
        one_step=True,
        colour="#1d7d50",
        on_dark="#5cc795",
    ),
    "fitted": Predictor(
        _adams2,
        None,
        fitted_errors,
        windowed=True,
        terms=ADAMS,
        raced=(Raced("path", 2.0, order=3),),
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
