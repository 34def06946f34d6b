"""Costs C(r, t, s) of intervals t→s after r→t, with the very predictor that replay will use.

At a knot t everything follows from the inner products of the differences v_k − v_t: the Gram
matrix, centred there. (Differences are small beside the velocities; float64 keeps them.) Below,
w_k is what step k moved with: v_k itself where steps are Euler's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.deviation import is_displaced
from meancache_plan.core.grid import furthest
from meancache_plan.core.objective import WEIGHTINGS, Measurements, Objective
from meancache_plan.core.path import LineGraph
from meancache_plan.errors import InputError

SHRINKAGE = 0.1
"""Ridge towards plain Adams–Bashforth with which arcs are scored for ``fitted``, relative to a
term's own size; a plan's gains are fitted again, with a shrinkage of their own."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Inner products at a knot t on S samples, for the ends s = t+1 … and the knots r < t before.

    With a = Σ Δσ_k·(w_k − v_t) over the steps k of t→s (what ``hold`` misses of z_s), x = h·v_t,
    and y = m·(v_t − v_r)/(σ_t − σ_r) (what ``adams`` adds to ``hold``); m = Σ Δσ_k·(σ_k − σ_t), or
    where steps are not Euler's ∫(σ − σ_t)dσ = h²/2.

    Attributes:
        aa: ⟨a, a⟩, float64 [S, s].
        ax: ⟨a, x⟩ [S, s].
        xx: ⟨x, x⟩ [S, s].
        ay: ⟨a, y⟩ [S, r, s].
        xy: ⟨x, y⟩ [S, r, s].
        yy: ⟨y, y⟩ [S, r, s].
    """

    aa: NDArray[np.float64]
    ax: NDArray[np.float64]
    xx: NDArray[np.float64]
    ay: NDArray[np.float64]
    xy: NDArray[np.float64]
    yy: NDArray[np.float64]

    @classmethod
    def at(cls, measured: Measurements, t: int, ends: int) -> "Moments":
        """Measure at knot t, for the next ``ends`` steps as ends."""
        sigmas, gram = np.array(measured.sigmas), measured.grams
        steps = slice(t, t + ends)
        near = slice(measured.displacements[t], measured.displacements[t] + ends)
        delta = np.diff(sigmas)[steps]
        h = sigmas[t + 1 : t + ends + 1] - sigmas[t]
        own = gram[:, t, t, None]
        from_own = gram[:, t] - own  # ⟨column − v_t, v_t⟩ [S, n]
        ahead = gram[:, near, near] - gram[:, t, None, near] - from_own[:, near, None]
        behind = gram[:, :t, near] - gram[:, t, None, near] - from_own[:, :t, None]
        apart = np.diagonal(gram, axis1=1, axis2=2)[:, :t] - own - 2 * from_own[:, :t]
        pairs = np.outer(delta, delta)
        new = np.einsum("skl,kl->sk", ahead, np.tril(pairs) + np.tril(pairs, -1))
        mean = (delta * (sigmas[steps] - sigmas[t])).cumsum()
        if is_displaced(measured.displacements):
            mean = h**2 / 2
        slope = mean / (sigmas[t] - sigmas[:t, None])
        return cls(
            aa=new.cumsum(axis=1),
            ax=h * (delta * from_own[:, near]).cumsum(axis=1),
            xx=h**2 * own,
            ay=-slope * (delta * behind).cumsum(axis=2),
            xy=-slope * h * from_own[:, :t, None],
            yy=slope**2 * apart[:, :, None],
        )


Errors = Callable[[Moments], NDArray[np.float64]]
"""Squared norm of û's miss of z_s for each sample, r and s: float64, broadcasts to [S, r, s]."""


def _hold(found: Moments) -> NDArray[np.float64]:
    return found.aa[:, None]


def _adams(found: Moments) -> NDArray[np.float64]:
    return found.aa[:, None] - 2 * found.ay + found.yy


def _fitted(found: Moments) -> NDArray[np.float64]:
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


ARC_PREDICTORS: dict[str, Errors] = {"hold": _hold, "adams": _adams, "fitted": _fitted}
"""Predictors that see no further back than the knot before."""


Choice = NDArray[np.int8]
"""The place in ``Objective.predictors`` of each arc's predictor, int8 [r, t, s] (−1: ``hold``, as
for the first interval, and for all of one step where that is exact)."""


def line_graph(measured: Measurements, objective: Objective) -> tuple[LineGraph, Choice]:
    """Weigh every arc with the best predictor on offer.

    Raises:
        InputError: A predictor looks further back, the metric is not ``rms``, or γ is too large.
    """
    graph, choice = no_arcs(len(measured.sigmas) - 1)
    for t, costs in sample_costs(measured, objective):
        add_arcs(graph, choice, t, objective, objective.reduce(costs))
    return graph, choice


def no_arcs(steps: int) -> tuple[LineGraph, Choice]:
    """The steps 0 … T without any arc, for ``add_arcs`` to fill."""
    arcs = np.full((steps, steps, steps + 1), np.inf)
    return LineGraph(np.full(steps + 1, np.inf), arcs), np.full(arcs.shape, -1, dtype=np.int8)


def add_arcs(
    graph: LineGraph, choice: Choice, t: int, objective: Objective, costs: NDArray[np.float64]
) -> None:
    """Enter the arcs (r, t) → (t, s) with their costs C, float64 [predictor, r, s].

    Raises:
        InputError: γ is too large.
    """
    reach = slice(t + 1, t + costs.shape[-1] + 1)
    if t == 0:
        graph.first[reach] = objective.power(costs[0, 0])
        return
    graph.arcs[:t, t, reach] = objective.power(costs.min(axis=0))
    choice[:t, t, reach] = costs.argmin(axis=0)
    if not costs[..., 0].any():  # one step: exact
        choice[:t, t, t + 1] = -1


def sample_costs(
    measured: Measurements, objective: Objective
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield each knot t with the weighted deviations on each sample, float64 [S, predictor, r, s].

    Predictors are the objective's, r is 0 … t − 1, s is t + 1 … as far as an interval may reach;
    at t = 0 there is only ``hold``, and one r, which stands for none.

    Raises:
        InputError: A predictor looks further back, or the metric is not ``rms``.
    """
    _check(objective)
    sigmas = np.array(measured.sigmas)
    steps = len(sigmas) - 1
    factors = WEIGHTINGS[objective.weighting](measured)
    for t in range(steps):
        ends = furthest(t, steps, objective.max_edge, measured.switches) - t
        spans = np.abs(sigmas[t + 1 : t + ends + 1] - sigmas[t])
        factor = factors[t, t + 1 : t + ends + 1] / spans / np.sqrt(measured.numel)
        if not is_displaced(measured.displacements):
            factor[0] = 0.0
        found = Moments.at(measured, t, ends)
        rules = [_hold] if t == 0 else [ARC_PREDICTORS[name] for name in objective.predictors]
        shape = len(measured.grams), max(t, 1), ends
        costs = [factor * np.sqrt(np.maximum(errors(found), 0.0)) for errors in rules]
        yield t, np.stack([np.broadcast_to(each, shape) for each in costs], axis=1)


def _check(objective: Objective) -> None:
    for name in objective.predictors:
        if name not in ARC_PREDICTORS:
            raise InputError(
                f"planner path cannot use predictor {name!r}, which depends on more than the knot "
                f"before: choose from {', '.join(ARC_PREDICTORS)}, or planner pssp"
            )
    if objective.metric != "rms":
        raise InputError(
            f"planner path cannot use metric {objective.metric!r}: choose rms, or planner pssp"
        )
