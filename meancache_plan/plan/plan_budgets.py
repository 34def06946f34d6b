"""One planner, one objective: the best plans of every budget."""

from collections.abc import Sequence
from dataclasses import dataclass

from meancache_plan.core.gains import FittedGains, fit_gains
from meancache_plan.core.interval_graph import weighed
from meancache_plan.core.objective import Measurements, Objective
from meancache_plan.core.predictors import ADAMS, PREDICTORS
from meancache_plan.core.search import Path
from meancache_plan.plan.planners import find_planner
from meancache_plan.schedule.provenance import GainFit
from meancache_runtime.predictors import Predictor
from meancache_runtime.schedule import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the weight of its path, and the fit of its gains if they were fitted.

    ``note`` ends what is told of its origin.
    """

    plan: Plan
    cost: float
    fit: GainFit | None = None
    note: str = ""


def plan_budgets(
    measured: Measurements,
    objective: Objective,
    planner: str,
    budgets: Sequence[int],
    count: int = 1,
) -> dict[int, list[Planned]]:
    """For each budget B the ``count`` best plans of at most B knots, best first.

    A planner may know fewer.

    Raises:
        InputError: The planner is unknown or cannot meet the objective, γ is too large, or T is
            out of reach.
    """
    method = find_planner(planner).method()
    found = weighed(measured, objective, method.costs)
    search = method.search(found.intervals, len(measured.sigmas) - 1)
    return {
        budget: [_planned(measured, objective, budget, path) for path in paths]
        for budget, paths in search(found.weights, budgets, count).items()
    }


def _planned(measured: Measurements, objective: Objective, budget: int, path: Path) -> Planned:
    """The plan of a path, with gains fitted where a predictor has none of its own."""
    intervals, fit = _fitted(measured, objective, path)
    return Planned(Plan(budget, path.knots, intervals), path.weight, fit)


def _fitted(
    measured: Measurements, objective: Objective, path: Path
) -> tuple[tuple[Predictor, ...], GainFit | None]:
    rules = [PREDICTORS[edge.predictor] for edge in path.edges]
    free = [rule.replay is None for rule in rules]
    own = [
        rule.unfitted(edge.window, objective.order)
        for rule, edge in zip(rules, path.edges, strict=True)
    ]
    if not any(free):
        return tuple(own), None
    terms = [rule.terms or ADAMS for rule in rules]
    wanted = [len(each.of(one) or (1.0,)) for each, one in zip(terms, own, strict=True)]
    orders = [min(order, known) for known, order in enumerate(wanted, start=1)]
    found = fit_gains(measured, path.knots, orders, objective.weighting, free, terms)
    fitted = [
        each.scaled(gains) if may else one
        for may, each, one, gains in zip(free, terms, own, found.gains, strict=True)
    ]
    return tuple(fitted), fit_record(found)


def fit_record(found: FittedGains) -> GainFit:
    """What a schedule tells of a fit of gains on the profile."""
    return GainFit(
        shrinkage=found.shrinkage, fitted=found.fitted, cross_validated=found.cross_validated
    )
