"""Plans from resampled calibrations: what would have been planned from other prompts?

What an interval costs on each sample is computed once; a resampled calibration only weighs the
samples anew. Two things stay as all samples have them: the propagation of errors, which too few
samples are measured for, and the gains with which ``fitted`` is scored.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from meancache_plan.core import graph
from meancache_plan.core import path_costs as arcs
from meancache_plan.core.deviation import is_displaced
from meancache_plan.core.grid import edges
from meancache_plan.core.objective import Measurements, Objective, Statistic
from meancache_plan.core.path import shortest_paths
from meancache_plan.core.predictors import Candidate, candidates
from meancache_plan.core.pssp import pssp
from meancache_plan.errors import InputError

WORKSPACE = 1 << 28
"""Bytes that the line graphs of resampled calibrations may take together."""

Draws = NDArray[np.int64]
"""How often each sample is in each resampled calibration, int64 [R, S]."""

Intervals = tuple[Candidate, ...]
"""A plan's intervals. A window is the distance K to where the predictor looks back; for planner
``path`` that is always the knot before, also for ``hold``."""


class Method(NamedTuple):
    """How a planner's choices are made again.

    Attributes:
        plan: (measurements, objective, draws, budgets B) → for each draw, for each B the intervals
            of its plan.
        costs: (measurements, objective, intervals) → their costs on each sample, float64 [S, n].
    """

    plan: Callable[[Measurements, Objective, Draws, Sequence[int]], list[dict[int, Intervals]]]
    costs: Callable[[Measurements, Objective, Sequence[Candidate]], NDArray[np.float64]]


def of_prompts(prompt_index: NDArray[np.int64], drawn: Iterable[NDArray[np.int64]]) -> Draws:
    """Return the draws that have all samples of the drawn prompts.

    Args:
        prompt_index: The prompt of each sample, int64 [S].
        drawn: For each draw places among the distinct prompts, in ascending order of these; a
            prompt may be drawn several times.
    """
    prompts, place = np.unique(prompt_index, return_inverse=True)
    counts = [np.bincount(row, minlength=len(prompts)) for row in drawn]
    return np.stack(counts)[:, place]


def resampled(
    objective: Objective, costs: NDArray[np.float64], draws: Draws
) -> NDArray[np.float64]:
    """Reduce the samples' costs [S, …] to C as each draw has it, float64 [R, …]."""
    if Statistic.parse(objective.statistic).kind != "mean":
        return np.stack([objective.reduce(np.repeat(costs, row, axis=0)) for row in draws])
    shares = draws / draws.sum(axis=1, keepdims=True)
    found = np.tensordot(shares, costs, axes=1)
    for i in np.flatnonzero((draws == 1).all(axis=1)):
        found[i] = objective.reduce(costs)  # to the last bit: else ties would break otherwise
    return found


def plan_draws(
    measured: Measurements,
    objective: Objective,
    planner: str,
    draws: Draws,
    budgets: Sequence[int],
) -> list[dict[int, Intervals]]:
    """Plan every budget from each resampled calibration.

    Raises:
        InputError: The planner is unknown or cannot meet the objective, or γ is too large.
    """
    plan = find_method(planner).plan
    steps = len(measured.sigmas) - 1
    at_once = max(1, WORKSPACE // (9 * steps**3))
    return [
        plans
        for first in range(0, len(draws), at_once)
        for plans in plan(measured, objective, draws[first : first + at_once], budgets)
    ]


def prices(
    measured: Measurements, objective: Objective, planner: str, plans: Iterable[Intervals]
) -> Mapping[Candidate, float]:
    """Return C^γ on all samples of every interval of these plans.

    Raises:
        InputError: The planner is unknown or cannot meet the objective, or γ is too large.
    """
    wanted = sorted({interval for plan in plans for interval in plan})
    costs = objective.reduce(find_method(planner).costs(measured, objective, wanted))
    return dict(zip(wanted, objective.power(costs).tolist(), strict=True))


def find_method(planner: str) -> Method:
    """Return the method of this planner. Raises InputError."""
    if planner not in METHODS:
        raise InputError(
            f"plans of planner {planner!r} cannot be resampled: only those of {', '.join(METHODS)}"
        )
    return METHODS[planner]


def _plan_arcs(
    measured: Measurements, objective: Objective, draws: Draws, budgets: Sequence[int]
) -> list[dict[int, Intervals]]:
    steps = len(measured.sigmas) - 1
    found = [arcs.no_arcs(steps) for _ in draws]
    for t, costs in arcs.sample_costs(measured, objective):
        for (line, choice), each in zip(found, resampled(objective, costs, draws), strict=True):
            arcs.add_arcs(line, choice, t, objective, each)
    return [
        {
            budget: _intervals(paths[0].knots, choice, objective.predictors)
            for budget, paths in shortest_paths(line, budgets).items()
        }
        for line, choice in found
    ]


def _intervals(knots: Sequence[int], choice: arcs.Choice, predictors: Sequence[str]) -> Intervals:
    ends = (*knots[1:], choice.shape[1])
    names = (*predictors, "hold")  # −1 is the last one
    return tuple(
        Candidate(t, s, names[int(choice[r, t, s])], t - r)
        for r, t, s in zip((0, *knots[:-1]), knots, ends, strict=True)
    )


def _costs_of_arcs(
    measured: Measurements, objective: Objective, wanted: Sequence[Candidate]
) -> NDArray[np.float64]:
    found = np.zeros((len(measured.grams), len(wanted)))
    for t, costs in arcs.sample_costs(measured, objective):
        for column, interval in enumerate(wanted):
            if interval.start != t or (
                interval.end == t + 1 and (not is_displaced(measured.displacements))
            ):
                continue
            place = objective.predictors.index(interval.predictor) if t else 0
            found[:, column] = costs[:, place, t - interval.window, interval.end - t - 1]
    return found


def _plan_edges(
    measured: Measurements, objective: Objective, draws: Draws, budgets: Sequence[int]
) -> list[dict[int, Intervals]]:
    steps = len(measured.sigmas) - 1
    reach = edges(steps, min(objective.max_edge, steps), measured.switches)
    chosen = candidates(
        reach, objective.predictors, measured.index.max_window, is_displaced(measured.displacements)
    )
    blocks = (chosen[i : i + graph.BLOCK] for i in range(0, len(chosen), graph.BLOCK))
    costs = [
        resampled(objective, graph.sample_costs(measured, objective, block), draws)
        for block in blocks
    ]
    weights = objective.power(np.concatenate(costs, axis=1))
    found = [pssp(_lightest(chosen, each, steps), budgets) for each in weights]
    return [{budget: path.edges for budget, path in paths.items()} for paths in found]


def _lightest(
    chosen: Sequence[Candidate], weights: NDArray[np.float64], steps: int
) -> "nx.MultiDiGraph[int]":
    """The graph with only the lightest of parallel edges, the first of these in ``chosen``."""
    ends = np.array([edge.start * (steps + 1) + edge.end for edge in chosen])  # ascending
    order = np.lexsort((weights, ends))
    _, firsts = np.unique(ends, return_index=True)
    lightest: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    lightest.add_nodes_from(range(steps + 1))
    lightest.add_edges_from(
        (t, s, {"predictor": name, "window": window, "weight": float(weights[place])})
        for place in order[firsts].tolist()
        for t, s, name, window in (chosen[place],)
    )
    return lightest


METHODS = {
    "path": Method(_plan_arcs, _costs_of_arcs),
    "pssp": Method(_plan_edges, graph.sample_costs),
}
"""By the planner's name."""
