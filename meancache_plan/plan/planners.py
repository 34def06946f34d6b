"""The registry of planners: each is how it scores intervals, and how it searches for a path.

Help lists them, so nothing that is slow to import, NumPy included, is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from meancache_plan.core.predictors import PREDICTORS, Predictor
from meancache_plan.errors import InputError

if TYPE_CHECKING:
    from meancache_plan.core.interval_costs import Costs
    from meancache_plan.core.parallel_edges import Edge
    from meancache_plan.core.search import Search


class Method(NamedTuple):
    """How a planner works.

    Attributes:
        costs: Scores every interval on every sample.
        search: (intervals, steps T) → a search for the lightest paths of these.
    """

    costs: Costs
    search: Callable[[Sequence[Edge], int], Search]


@dataclass(frozen=True, slots=True)
class Planner:
    """A way to choose knots.

    Attributes:
        about: What help says of it, after its name.
        method: Gives its costs and its search, which it imports when it is first asked.
        can_use: Whether it can score a predictor, and replay it as it was scored.
    """

    about: str
    method: Callable[[], Method]
    can_use: Callable[[Predictor], bool]

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of those that it can choose between."""
        return tuple(name for name, rule in PREDICTORS.items() if self.can_use(rule))


def _path() -> Method:
    """Scores an interval with the very velocities that replay will have."""
    from meancache_plan.core import interval_costs, search

    return Method(interval_costs.arc_costs, search.path_consistent)


def _pssp() -> Method:
    """Scores an interval with the velocities of the full run."""
    from meancache_plan.core import interval_costs, search

    return Method(interval_costs.edge_costs, search.pssp)


PLANNERS: dict[str, Planner] = {
    "path": Planner("scores what replay will do", _path, lambda rule: rule.errors is not None),
    "pssp": Planner("is the paper's method", _pssp, lambda rule: rule.replay is not None),
}
"""By name, the default first."""


def find_planner(name: str) -> Planner:
    """Return the planner of this name. Raises InputError."""
    if name not in PLANNERS:
        raise InputError(f"unknown planner {name!r}: choose from {', '.join(PLANNERS)}")
    return PLANNERS[name]


def planner_help() -> str:
    """The planners in words.

    Example:
        >>> planner_help()
        "path scores what replay will do, pssp is the paper's method"
    """
    return ", ".join(f"{name} {planner.about}" for name, planner in PLANNERS.items())


def predictor_help() -> str:
    """The predictors in words, by the planners that can use them.

    Example:
        >>> predictor_help()
        'hold and adams (path, pssp), jvp and released (pssp), fitted (path)'
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for name, rule in PREDICTORS.items():
        users = tuple(each for each, planner in PLANNERS.items() if planner.can_use(rule))
        found.setdefault(users, []).append(name)
    groups = (f"{' and '.join(names)} ({', '.join(users)})" for users, names in found.items())
    return ", ".join(groups)
