"""Planners by name: each turns measurements and an objective into plans for all budgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meancache_plan.core.deviation import is_displaced
from meancache_plan.core.gains import fit_gains
from meancache_plan.core.graph import deviation_graph
from meancache_plan.core.objective import Measurements, Objective
from meancache_plan.core.path import KnotPath, shortest_paths
from meancache_plan.core.path_costs import ARC_PREDICTORS, line_graph
from meancache_plan.core.predictors import PREDICTORS
from meancache_plan.core.pssp import pssp
from meancache_plan.errors import InputError
from meancache_plan.schedule.provenance import GainFit
from meancache_runtime.schedule import Adams, Hold, Plan, Predictor


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan, the weight of its path, and the fit of its gains if they were fitted."""

    plan: Plan
    cost: float
    fit: GainFit | None = None


@dataclass(frozen=True, slots=True)
class Planner:
    """A way to choose knots.

    Attributes:
        predictors: Names of those that it can choose between.
        plan: (measurements, objective, budgets B, count) → for each B the ``count`` best plans of
            at most B knots, best first; a planner may know fewer.
    """

    predictors: tuple[str, ...]
    plan: Callable[[Measurements, Objective, Sequence[int], int], dict[int, list[Outcome]]]


def _plan_pssp(
    measured: Measurements, objective: Objective, budgets: Sequence[int], count: int
) -> dict[int, list[Outcome]]:
    paths = pssp(deviation_graph(measured, objective), budgets)
    return {
        budget: [
            Outcome(
                Plan(
                    budget,
                    path.knots,
                    tuple(PREDICTORS[edge.predictor].replay(edge.window) for edge in path.edges),
                ),
                path.weight,
            )
        ]
        for budget, path in paths.items()
    }


def _plan_path(
    measured: Measurements, objective: Objective, budgets: Sequence[int], count: int
) -> dict[int, list[Outcome]]:
    graph, choice = line_graph(measured, objective)

    def outcome(budget: int, path: KnotPath) -> Outcome:
        ends = (*path.knots[1:], len(measured.sigmas) - 1)
        triples = zip((0, *path.knots), path.knots, ends, strict=False)
        places = [int(choice[triple]) for triple in triples]
        names = ["hold" if place < 0 else objective.predictors[place] for place in places]
        inexact = ends[0] > 1 or is_displaced(measured.displacements)
        if names[0] == "hold" and "fitted" in objective.predictors and inexact:
            names[0] = "fitted"  # it may scale v₀
        intervals, fit = _intervals(measured, objective, path.knots, names)
        return Outcome(Plan(budget, path.knots, intervals), path.weight, fit)

    paths = shortest_paths(graph, budgets, count)
    return {budget: [outcome(budget, path) for path in found] for budget, found in paths.items()}


def _intervals(
    measured: Measurements, objective: Objective, knots: Sequence[int], names: Sequence[str]
) -> tuple[tuple[Predictor, ...], GainFit | None]:
    """The intervals by these predictors' names, with gains fitted where they are calibrated."""
    plain = tuple(_plain(name, first=n == 0) for n, name in enumerate(names))
    if "fitted" not in names:
        return plain, None
    terms = {"hold": 1, "adams": 2, "fitted": objective.order}
    orders = [min(terms[name], n + 1) for n, name in enumerate(names)]
    free = [name == "fitted" for name in names]
    found = fit_gains(measured, knots, orders, objective.weighting, free)
    fitted = [Adams(gains) for gains in found.gains]
    intervals = tuple(
        fit if name == "fitted" else own
        for name, fit, own in zip(names, fitted, plain, strict=True)
    )
    return intervals, GainFit(
        shrinkage=found.shrinkage, fitted=found.fitted, cross_validated=found.cross_validated
    )


def _plain(name: str, first: bool) -> Predictor:
    """An interval whose gains are not fitted."""
    if name == "hold" or first:
        return Hold()
    return Adams((1.0, 1.0))


PLANNERS: dict[str, Planner] = {
    "path": Planner(tuple(ARC_PREDICTORS), _plan_path),
    "pssp": Planner(tuple(PREDICTORS), _plan_pssp),
}
"""``path`` scores an interval with the very velocities that replay will have, ``pssp`` (the
paper's) with those of the full trajectory."""


def find_planner(name: str) -> Planner:
    """Return the planner of this name. Raises InputError."""
    if name not in PLANNERS:
        raise InputError(f"unknown planner {name!r}: choose from {', '.join(PLANNERS)}")
    return PLANNERS[name]
