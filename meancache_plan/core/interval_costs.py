"""What every interval costs on each sample: alone, as an edge, or after the knot before, as an arc.

A cost is the weighted deviation of û from u. What comes of it, C and its weight C^γ, is the
objective's to say.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.columns import is_displaced
from meancache_plan.core.deviation import rms
from meancache_plan.core.grid import edges, furthest
from meancache_plan.core.moments import Moments
from meancache_plan.core.objective import WEIGHTINGS, Measurements, Objective
from meancache_plan.core.parallel_edges import Edge, parallel_edges, residuals
from meancache_plan.core.predictors import PREDICTORS, hold_errors
from meancache_plan.errors import InputError

BLOCK = 10_000
"""Edges scored at once: all of them, on all samples, may not fit into memory."""

Costs = Callable[[Measurements, Objective], Iterator[tuple[Sequence[Edge], NDArray[np.float64]]]]
"""(measurements, objective) → intervals and their costs on each sample, float64 [S, n], in parts;
an interval of one of Euler's steps is exact and costs 0. Raises InputError for an objective that
cannot be met."""


def edge_costs(
    measured: Measurements, objective: Objective
) -> Iterator[tuple[Sequence[Edge], NDArray[np.float64]]]:
    """Intervals t→s scored on full runs: one for each predictor and K, in that order."""
    steps = len(measured.sigmas) - 1
    reach = edges(steps, min(objective.max_edge, steps), measured.switches)
    displaced = is_displaced(measured.displacements)
    chosen = parallel_edges(reach, objective.predictors, measured.index.max_window, displaced)
    for begin in range(0, len(chosen), BLOCK):
        block = chosen[begin : begin + BLOCK]
        yield block, sample_costs(measured, objective, block)


def sample_costs(
    measured: Measurements, objective: Objective, chosen: Sequence[Edge]
) -> NDArray[np.float64]:
    """Return the cost of each edge on each sample, on full runs, float64 [S, n].

    Raises:
        InputError: The metric is not measured for one of them.
    """
    starts, ends = [c.start for c in chosen], [c.end for c in chosen]
    deviations = (_l1 if objective.metric == "l1" else _rms)(measured, chosen)
    one_step = np.array(ends) - np.array(starts) == 1
    factors = WEIGHTINGS[objective.weighting](measured)[starts, ends]
    costless = one_step & (not is_displaced(measured.displacements))
    return np.where(costless, 0.0, factors) * deviations


def _l1(measured: Measurements, chosen: Sequence[Edge]) -> NDArray[np.float64]:
    columns = {triple: column for column, triple in enumerate(measured.index)}
    known = [name for name, predictor in PREDICTORS.items() if predictor.has_l1]
    for edge in chosen:
        if edge.predictor not in known:
            raise InputError(
                f"metric l1 is not measured for predictor {edge.predictor!r}: "
                f"choose metric rms, or predictors {', '.join(known[:-1])} and {known[-1]}"
            )
        if (edge.start, edge.end, edge.window) not in columns:
            raise InputError(
                f"metric l1 is measured for edges of up to {measured.index.max_edge} steps: choose "
                "a smaller max_edge, or metric rms"
            )
    wanted = [columns[c.start, c.end, c.window] for c in chosen]
    return measured.l1[:, wanted].astype(np.float64)


def _rms(measured: Measurements, chosen: Sequence[Edge]) -> NDArray[np.float64]:
    rows = residuals(measured.sigmas, chosen, measured.displacements)
    return rms(measured.grams, measured.numel, rows)


def arc_costs(
    measured: Measurements, objective: Objective
) -> Iterator[tuple[Sequence[Edge], NDArray[np.float64]]]:
    """Intervals t→s after r→t, scored with the velocities that replay will have; K = t − r.

    A part has those of one knot t: by predictor, then r, then s. The first interval has a single
    velocity, so it is held, or fitted to.

    Raises:
        InputError: A predictor looks further back, or the metric is not ``rms``.
    """
    _check_arcs(objective)
    sigmas = np.array(measured.sigmas)
    steps, displaced = len(sigmas) - 1, is_displaced(measured.displacements)
    factors = WEIGHTINGS[objective.weighting](measured)
    for t in range(steps):
        ends = furthest(t, steps, objective.max_edge, measured.switches) - t
        spans = np.abs(sigmas[t + 1 : t + ends + 1] - sigmas[t])
        factor = factors[t, t + 1 : t + ends + 1] / spans / np.sqrt(measured.numel)
        if not displaced:
            factor[0] = 0.0
        found = Moments.at(measured, t, ends)
        names = objective.predictors if t else (_first(objective),)
        shape = len(measured.grams), max(t, 1), ends
        costs = [
            factor * np.sqrt(np.maximum(np.broadcast_to(errors, shape), 0.0))
            for errors in (_errors(name if t else "hold")(found) for name in names)
        ]
        each = np.stack(costs, axis=1).reshape(shape[0], -1)
        offered = list(_arcs(names, t, ends, displaced))
        yield [arc for _, arc in offered], each[:, [place for place, _ in offered]]


def _arcs(names: Sequence[str], t: int, ends: int, displaced: bool) -> Iterator[tuple[int, Edge]]:
    """Those at a knot, and their places by predictor, r and s.

    Where one step is exact there is only one for all predictors, which is held.
    """
    costless = 0 if displaced else t + 1
    spots = product(names, range(max(t, 1)), range(t + 1, t + ends + 1))
    for place, (name, r, s) in enumerate(spots):
        if s != costless:
            yield place, Edge(t, s, name, t - r)
        elif name == names[0]:
            yield place, Edge(t, s, "hold", t - r)


def _first(objective: Objective) -> str:
    """The predictor of a first interval: fitted, if one is, as that may scale v₀."""
    fitted = (name for name in objective.predictors if PREDICTORS[name].replay is None)
    return next(fitted, "hold")


def _errors(name: str) -> Callable[[Moments], NDArray[np.float64]]:
    return PREDICTORS[name].errors or hold_errors


def _check_arcs(objective: Objective) -> None:
    for name in objective.predictors:
        if PREDICTORS[name].errors is None:
            known = (other for other, rule in PREDICTORS.items() if rule.errors is not None)
            raise InputError(
                f"predictor {name!r} depends on more than the previous knot, by which this "
                f"planner scores: choose from {', '.join(known)}, or another planner"
            )
    if objective.metric != "rms":
        raise InputError(
            f"metric {objective.metric!r} is not known for a given previous knot, by which this "
            "planner scores: choose rms, or another planner"
        )
