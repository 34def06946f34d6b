"""Predictors as linear forms, and their binding to a σ grid (pure Python, no torch).

Every predictor is linear in velocities, so what it answers a step with is a :data:`LinearForm`:
step → weight of the velocity that the denoiser gave at that step. The functions here are the only
place where the predictors' formulas stand; the compiler scores edges with them, and :func:`bind`
turns a plan into the weights that replay uses.

Notation: ``sigmas`` σ₀ … σ_T, step i goes σᵢ → σᵢ₊₁, an interval t→s covers steps t … s−1,
``h = σ_s − σ_t``.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, prod
from typing import Any

from .errors import GridMismatchError, ScheduleError
from .grid import as_levels, check_grid, moving
from .predictors import Adams, Hold, Jvp, Predictor, Released
from .schedule import Plan, Replayable, Schedule, as_schedule

LinearForm = dict[int, float]
"""Step → weight: ``Σ weight · v[step]``."""

GAUSS = 3**-0.5
"""±: places in −1 … 1 whose mean integrates polynomials of up to the third degree exactly."""


@dataclass(frozen=True, slots=True)
class BoundPlan:
    """A plan whose weights are bound to one σ grid: knots, and the form of every step.

    Attributes:
        sigmas: σ₀ … σ_T.
        knots: Steps at which the denoiser runs, ascending; the first is 0.
        forms: For each of the T steps, û as weights of fresh velocities of knots up to that step.
            Steps with equal forms between two knots are taken with one and the same û.
        bounds: For each knot after the first, the largest innovation that a sample like those of
            calibration has (see :mod:`meancache_runtime.innovation`); empty if not known.
    """

    sigmas: tuple[float, ...]
    knots: tuple[int, ...]
    forms: tuple[LinearForm, ...]
    bounds: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        """Number of sampler steps T."""
        return len(self.forms)

    def is_plain(self, step: int) -> bool:
        """Whether û of a step is exactly the fresh velocity of the latest knot, unchanged."""
        knot = self.knots[bisect_right(self.knots, step) - 1]
        return self.forms[step] == {knot: 1.0}


def combine(terms: Sequence[tuple[float, Mapping[int, float]]]) -> LinearForm:
    """Return ``Σ factor · form``, without terms that vanish exactly."""
    total: LinearForm = {}
    for factor, form in terms:
        for step, weight in form.items():
            total[step] = total.get(step, 0.0) + factor * weight
    return {step: weight for step, weight in sorted(total.items()) if weight != 0.0}


def average(
    sigmas: Sequence[float], start: int, end: int, applied: Sequence[Mapping[int, float]]
) -> LinearForm:
    """Average velocity ``u(start→end) = Σ (σᵢ₊₁ − σᵢ)·vᵢ / (σ_end − σ_start)`` of ``applied``."""
    if all(form is applied[start] for form in applied[start:end]):
        return dict(applied[start])  # inside one interval of replay: exactly its û
    h = sigmas[end] - sigmas[start]
    return combine([((sigmas[i + 1] - sigmas[i]) / h, applied[i]) for i in range(start, end)])


def jvp(
    sigmas: Sequence[float],
    start: int,
    end: int,
    window: int,
    applied: Sequence[Mapping[int, float]],
    instantaneous: Sequence[Mapping[int, float]],
) -> LinearForm:
    """MeanCache's predictor (arXiv 2601.19961): ``û = v_t + h·JVP`` with r = t − window.

    ``JVP = (u(r→t) − v_r) / (σ_t − σ_r)``. ``applied[i]`` is the velocity that step i moved
    with, ``instantaneous[i]`` the velocity known at step i; on a full run both are v_i.
    """
    return _extrapolate({start: 1.0}, sigmas, start, end, window, applied, instantaneous)


def released(
    sigmas: Sequence[float],
    start: int,
    end: int,
    span: int,
    applied: Sequence[LinearForm],
    instantaneous: Sequence[LinearForm],
) -> list[LinearForm]:
    """What MeanCache's released scripts take the steps of start→end with, one form each.

    The knot's own step is taken with v_t. A cached step i repeats the velocity of step i − 1, plus
    the JVP of :func:`jvp` over the last ``span`` steps, carried over step i alone; what it gives
    counts for the windows of the steps after it. ``applied`` and ``instantaneous`` are as for
    :func:`jvp`, of the steps before ``start``. A span of 1 repeats v_t itself.
    """
    fresh: LinearForm = {start: 1.0}
    moved, known = [*applied[:start], fresh], [*instantaneous[:start], fresh]
    for i in range(start + 1, end):
        answer = _extrapolate(moved[-1], sigmas, i, i + 1, span, moved, known)
        moved.append(answer)
        known.append(answer)
    return moved[start:]


def _extrapolate(
    base: LinearForm,
    sigmas: Sequence[float],
    start: int,
    end: int,
    window: int,
    applied: Sequence[Mapping[int, float]],
    instantaneous: Sequence[Mapping[int, float]],
) -> LinearForm:
    """``base + (σ_end − σ_start)·JVP`` over the last ``window`` steps; ``base`` if JVP is zero."""
    r = start - window
    slope = (sigmas[end] - sigmas[start]) / (sigmas[start] - sigmas[r])
    past = average(sigmas, r, start, applied)
    change = combine([(slope, past), (-slope, instantaneous[r])])
    return combine([(1.0, base), (1.0, change)]) if change else base


def adams(
    sigmas: Sequence[float],
    knots: Sequence[int],
    end: int,
    gains: Sequence[float],
    displaced: bool = False,
) -> LinearForm:
    """Adams–Bashforth of order ``len(gains)`` for the interval ``knots[-1]→end``.

    The velocities of the last p knots are extrapolated as a polynomial in σ (Newton's form) and
    averaged over the interval's own step starts σ_k, weighted by the step σ_{k+1} − σ_k; with
    ``displaced``, over all its noise levels, as the flow itself moves. A velocity that is a
    polynomial of degree p − 1 in σ is predicted exactly. ``gains`` scale the terms; all 1 is plain
    Adams–Bashforth. Order 2: ``v_t + (σ̄ − σ_t)·(v_t − v_r)/(σ_t − σ_r)``; σ̄ − σ_t is h/2 with
    ``displaced``.
    """
    start = knots[-1]
    nodes = [sigmas[k] for k in reversed(knots[-len(gains) :])]
    differences: list[Mapping[int, float]] = [{k: 1.0} for k in reversed(knots[-len(gains) :])]
    terms: list[tuple[float, Mapping[int, float]]] = [(gains[0], differences[0])]
    for j in range(1, len(gains)):
        differences = [
            combine([(1 / (nodes[i] - nodes[i + j]), a), (-1 / (nodes[i] - nodes[i + j]), b)])
            for i, (a, b) in enumerate(pairwise(differences))
        ]
        mean = _integral_mean if displaced else _mean_product
        terms.append((gains[j] * mean(sigmas, start, end, nodes[:j]), differences[0]))
    return combine(terms)


def _mean_product(sigmas: Sequence[float], start: int, end: int, nodes: Sequence[float]) -> float:
    """Mean of ``Π (σ_k − node)`` over the steps k of start→end, weighted by σ_{k+1} − σ_k."""
    total = 0.0
    for k in range(start, end):
        product = sigmas[k + 1] - sigmas[k]
        for node in nodes:
            product *= sigmas[k] - node
        total += product
    return total / (sigmas[end] - sigmas[start])


def _integral_mean(sigmas: Sequence[float], start: int, end: int, nodes: Sequence[float]) -> float:
    """Mean of ``Π (σ − node)`` over σ from σ_start to σ_end; exact for up to three nodes."""
    middle, half = (sigmas[end] + sigmas[start]) / 2, (sigmas[end] - sigmas[start]) / 2
    places = (middle - GAUSS * half, middle + GAUSS * half)
    return sum(prod(place - node for node in nodes) for place in places) / 2


def check_bound(plan: Any) -> None:
    """Refuse what is no bound plan, such as a schedule or a plan of one: ScheduleError."""
    if not isinstance(plan, BoundPlan):
        raise ScheduleError(
            f"{type(plan).__name__} is not bound to noise levels: give what "
            "bind_schedule(schedule, budget, sigmas) of meancache_runtime.binding returns"
        )


def bind(plan: Plan, sigmas: Sequence[float], displaced: bool = False) -> BoundPlan:
    """Compute the weights of every step of ``plan`` on the grid ``sigmas``.

    ``sigmas`` has length T + 1 and is strictly monotone, but for steps of no length at its end
    (:func:`meancache_runtime.grid.moving`): no knot is there, and they are taken with the û before
    them. ``displaced`` is the schedule's ``grid.displaced``: see :func:`adams`. A window reaches
    back over the steps as replay took them: a knot's instantaneous velocity is the fresh one, a
    cached step's is the û that it was answered with.

    Raises:
        GridMismatchError: Noise levels are so close together that a weight is not finite.
    """
    applied: list[LinearForm] = []
    instantaneous: list[LinearForm] = []
    last = len(moving(sigmas)) - 1
    plan = plan.before(last)
    knots = plan.knots
    for n, (end, predictor) in enumerate(zip((*knots[1:], last), plan.intervals, strict=True)):
        forms = _forms(predictor, sigmas, knots[: n + 1], end, applied, instantaneous, displaced)
        applied += forms
        instantaneous += [{knots[n]: 1.0}, *forms[1:]]
    for step, form in enumerate(applied):
        if not all(map(isfinite, form.values())):
            raise GridMismatchError(
                f"step {step} has weights that are not finite: noise levels before it are too "
                "close together: pass sigmas that are farther apart"
            )
    applied += applied[-1:] * (len(sigmas) - 1 - last)
    return BoundPlan(tuple(sigmas), knots, tuple(applied), plan.innovation or ())


def bind_schedule(
    schedule: Schedule | Replayable, budget: int, sigmas: Sequence[float] | None = None
) -> BoundPlan:
    """Bind a schedule's plan to the noise levels of a run, if they are the schedule's.

    Args:
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
        budget: One of ``schedule.budgets``.
        sigmas: σ₀ … σ_T; the schedule's own by default.

    Raises:
        BudgetError: The schedule has no plan for this budget.
        StepCountError: ``sigmas`` has another number of steps than the schedule.
        GridMismatchError: ``sigmas`` is farther off than the schedule allows, or so close together
            that weights are not finite; or is missing although the schedule states no grid; or
            is no list of numbers.
    """
    schedule = as_schedule(schedule)
    plan, grid = schedule.plan(budget), schedule.grid
    if sigmas is None:
        if grid.sigmas is None:
            raise GridMismatchError("the schedule states no grid: pass sigmas=…, from σ₀ to σ_T")
        sigmas = grid.sigmas
    levels = as_levels(sigmas)
    check_grid(grid, levels)
    return bind(plan, levels, grid.displaced)


def _forms(
    predictor: Predictor,
    sigmas: Sequence[float],
    knots: Sequence[int],
    end: int,
    applied: Sequence[LinearForm],
    instantaneous: Sequence[LinearForm],
    displaced: bool,
) -> list[LinearForm]:
    """What each step of ``knots[-1]→end`` is taken with; see :func:`jvp` for the last two."""
    start = knots[-1]
    match predictor:
        case Hold():
            form: LinearForm = {start: 1.0}
        case Jvp(window):
            form = jvp(sigmas, start, end, window, applied, instantaneous)
        case Adams(gains):
            form = adams(sigmas, knots, end, gains, displaced)
        case Released(span):
            return released(sigmas, start, end, span, applied, instantaneous)
    return [form] * (end - start)
