"""The registry of planners: each is how it scores intervals, and how it searches for a path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meancache_plan.core.costs import Costs, arc_costs, edge_costs
from meancache_plan.core.gains import fit_gains
from meancache_plan.core.graph import weighed
from meancache_plan.core.objective import Measurements, Objective
from meancache_plan.core.predictors import PREDICTORS, Edge, Predictor
from meancache_plan.core.search import Path, Search, path_consistent, pssp
from meancache_plan.errors import InputError
from meancache_plan.schedule.provenance import GainFit
from meancache_runtime.predictors import Adams
from meancache_runtime.predictors import Predictor as ReplayPredictor
from meancache_runtime.schedule import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the weight of its path, and the fit of its gains if they were fitted."""

    plan: Plan
    cost: float
    fit: GainFit | None = None


@dataclass(frozen=True, slots=True)
class Planner:
    """A way to choose knots.

    Attributes:
        costs: Scores every interval on every sample.
        search: (intervals, steps T) → a search for the lightest paths of these.
        can_use: Whether it can score a predictor, and replay it as it was scored.
    """

    costs: Costs
    search: Callable[[Sequence[Edge], int], Search]
    can_use: Callable[[Predictor], bool]

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of those that it can choose between."""
        return tuple(name for name, rule in PREDICTORS.items() if self.can_use(rule))

    def plan(
        self, measured: Measurements, objective: Objective, budgets: Sequence[int], count: int = 1
    ) -> dict[int, list[Planned]]:
        """For each budget B the ``count`` best plans of at most B knots, best first.

        A planner may know fewer.

        Raises:
            InputError: It cannot meet the objective, γ is too large, or T is out of reach.
        """
        found = weighed(measured, objective, self.costs)
        search = self.search(found.intervals, len(measured.sigmas) - 1)
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
) -> tuple[tuple[ReplayPredictor, ...], GainFit | None]:
    rules = [(PREDICTORS[edge.predictor].replay, edge.window) for edge in path.edges]
    free = [replay is None for replay, _ in rules]
    starting = Adams((1.0,) * objective.order)
    own = [starting if replay is None else replay(window) for replay, window in rules]
    if not any(free):
        return tuple(own), None
    terms = [len(each.gains) if isinstance(each, Adams) else 1 for each in own]
    orders = [min(order, known) for known, order in enumerate(terms, start=1)]
    found = fit_gains(measured, path.knots, orders, objective.weighting, free)
    fitted = [
        Adams(gains) if may else each
        for may, each, gains in zip(free, own, found.gains, strict=True)
    ]
    return tuple(fitted), GainFit(
        shrinkage=found.shrinkage, fitted=found.fitted, cross_validated=found.cross_validated
    )


PLANNERS: dict[str, Planner] = {
    "path": Planner(arc_costs, path_consistent, lambda rule: rule.errors is not None),
    "pssp": Planner(edge_costs, pssp, lambda rule: rule.replay is not None),
}
"""``path`` scores an interval with the very velocities that replay will have, ``pssp`` (the
paper's) with those of the full run."""


def find_planner(name: str) -> Planner:
    """Return the planner of this name. Raises InputError."""
    if name not in PLANNERS:
        raise InputError(f"unknown planner {name!r}: choose from {', '.join(PLANNERS)}")
    return PLANNERS[name]
