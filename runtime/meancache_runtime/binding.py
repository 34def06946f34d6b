"""Predictors as linear forms, and their binding to a σ grid (pure Python, no torch).

Every predictor of an average velocity ``û(t→s)`` is linear in velocities, so it is a
:data:`LinearForm`: step → weight of the velocity that the denoiser gave at that step. The
functions here are the only place where the predictors' formulas stand; the compiler scores
edges with them, and :func:`bind` turns a plan into the weights that replay uses.

Notation: ``sigmas`` σ₀ … σ_T, step i goes σᵢ → σᵢ₊₁, an interval t→s covers steps t … s−1,
``h = σ_s − σ_t``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .schedule import Adams, Hold, Jvp, Plan

LinearForm = dict[int, float]
"""Step → weight: ``Σ weight · v[step]``."""


@dataclass(frozen=True, slots=True)
class BoundInterval:
    """One interval, ready to replay: ``û = Σ weight · (fresh velocity of knot step)``.

    ``is_plain`` says that û is the velocity of the interval's own knot, unchanged: replay then
    hands on the denoiser's own tensor, bit for bit.
    """

    start: int
    end: int
    form: LinearForm

    @property
    def is_plain(self) -> bool:
        """Whether û is exactly the fresh velocity of the interval's own knot."""
        return self.form == {self.start: 1.0}


@dataclass(frozen=True, slots=True)
class BoundPlan:
    """A plan whose weights are bound to one σ grid of ``len(sigmas) - 1`` steps."""

    sigmas: tuple[float, ...]
    intervals: tuple[BoundInterval, ...]

    @property
    def steps(self) -> int:
        """Number of sampler steps T."""
        return len(self.sigmas) - 1


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
    with, ``instantaneous[i]`` the velocity known at step i; on a full trajectory both are v_i.
    """
    r = start - window
    slope = (sigmas[end] - sigmas[start]) / (sigmas[start] - sigmas[r])
    past = average(sigmas, r, start, applied)
    return combine([(1.0, {start: 1.0}), (slope, past), (-slope, instantaneous[r])])


def adams(
    sigmas: Sequence[float], knots: Sequence[int], end: int, gains: Sequence[float]
) -> LinearForm:
    """Adams–Bashforth on the grid, of order ``len(gains)``, for the interval ``knots[-1]→end``.

    The velocities of the last p knots are extrapolated as a polynomial in σ (Newton's form) and
    averaged over the interval's own step starts σ_k, weighted by the step σ_{k+1} − σ_k; a
    velocity that is a polynomial of degree p − 1 in σ is predicted exactly. ``gains`` scale the
    terms; all 1 is plain Adams–Bashforth. Order 2: ``v_t + (σ̄ − σ_t)·(v_t − v_r)/(σ_t − σ_r)``.
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
        terms.append((gains[j] * _mean_product(sigmas, start, end, nodes[:j]), differences[0]))
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


def bind(plan: Plan, sigmas: Sequence[float]) -> BoundPlan:
    """Compute the weights of every interval of ``plan`` on the grid ``sigmas``.

    ``sigmas`` has length T + 1 and is strictly monotone. A ``jvp`` window reaches back over the
    steps as replay took them: a knot's instantaneous velocity is the fresh one, a cached step's
    is the û that it was answered with.
    """
    applied: list[LinearForm] = []
    instantaneous: list[LinearForm] = []
    intervals: list[BoundInterval] = []
    ends = (*plan.knots[1:], len(sigmas) - 1)
    for n, (start, end, predictor) in enumerate(zip(plan.knots, ends, plan.intervals, strict=True)):
        fresh: LinearForm = {start: 1.0}
        match predictor:
            case Hold():
                form = fresh
            case Jvp(window):
                form = jvp(sigmas, start, end, window, applied, instantaneous)
            case Adams(gains):
                form = adams(sigmas, plan.knots[: n + 1], end, gains)
        intervals.append(BoundInterval(start, end, form))
        applied += [form] * (end - start)
        instantaneous += [fresh] + [form] * (end - start - 1)
    return BoundPlan(tuple(sigmas), tuple(intervals))
