"""From a profile to a schedule: for each budget, the best path over the grid."""

import math
from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from meancache_plan.artifact import (
    AdamsInterval,
    Grid,
    HoldInterval,
    Interval,
    JvpInterval,
    Plan,
    Provenance,
    Schedule,
)
from meancache_plan.errors import InputError
from meancache_plan.graph import METRICS, deviation_graph
from meancache_plan.predictors import PREDICTORS, Candidate, find_predictors
from meancache_plan.profile import Profile
from meancache_plan.version import __version__
from meancache_runtime.schedule import Adams, Hold, Jvp
from meancache_runtime.schedule import Predictor as ReplayPredictor

MAX_GAMMA = 1e6
"""The largest γ that the artifact can name."""

TOLERANCE = 0.05
"""How far a run's σ may be from the schedule's: about what another aspect ratio shifts them."""


class Path(NamedTuple):
    """A path 0→T: its edges, and its weight Σ C(e)^γ, summed from the last edge to the first."""

    edges: tuple[Candidate, ...]
    weight: float

    @property
    def knots(self) -> tuple[int, ...]:
        """The steps at which the edges start."""
        return tuple(edge.start for edge in self.edges)


class Objective(NamedTuple):
    """What a planner minimises, and over which edges: see :func:`solve`."""

    predictors: tuple[str, ...]
    metric: str
    gamma: float
    max_edge: int


def pssp(graph: "nx.MultiDiGraph[int]", budgets: Sequence[int]) -> dict[int, Path]:
    """Return argmin Σ C(e)^γ over the paths 0→T of at most B edges, for each budget B.

    MeanCache's peak-suppressed shortest path (arXiv 2601.19961), exact: dynamic programming over
    the number of edges. Among paths of equal weight: fewest edges, then lexicographically
    smallest knots, then, between parallel edges, the one that joined the graph first.

    Args:
        graph: Nodes 0 … T; edges t→s, t < s, with ``predictor``, ``window`` and ``weight`` ≥ 0.
        budgets: Values B ≥ 1.

    Raises:
        InputError: No path of at most B edges reaches T.
    """
    weight, lightest = _lightest_parallel_edges(graph)
    to_go = np.full((max(budgets) + 1, len(weight)), np.inf)
    to_go[0, -1] = 0.0
    for b in range(1, len(to_go)):  # to_go[b, t] = min Σ C(e)^γ over paths t→T of b edges
        to_go[b] = (weight + to_go[b - 1]).min(axis=1)

    def trace(budget: int) -> Path:
        b, t, edges = int(to_go[: budget + 1, 0].argmin()), 0, list[Candidate]()
        total = float(to_go[b, 0])
        if math.isinf(total):
            raise InputError(f"budget {budget}: no path of so few edges reaches the last step")
        while b:
            b, s = b - 1, int((weight[t] + to_go[b - 1]).argmin())
            edges.append(lightest[t, s])
            t = s
        return Path(tuple(edges), total)

    return {budget: trace(budget) for budget in budgets}


def _lightest_parallel_edges(
    graph: "nx.MultiDiGraph[int]",
) -> tuple[NDArray[np.float64], dict[tuple[int, int], Candidate]]:
    """Return the least weight of an edge t→s, float64 [T + 1, T + 1] (∞: none), and that edge."""
    weight = np.full((len(graph), len(graph)), np.inf)
    lightest: dict[tuple[int, int], Candidate] = {}
    for t, s, edge in graph.edges(data=True):
        if edge["weight"] < weight[t, s]:
            weight[t, s] = edge["weight"]
            lightest[t, s] = Candidate(t, s, edge["predictor"], edge["window"])
    return weight, lightest


def _plan_pssp(profile: Profile, objective: Objective, budgets: Sequence[int]) -> list[Plan]:
    paths = pssp(deviation_graph(profile, *objective), budgets)
    return [
        Plan(
            budget=budget,
            knots=path.knots,
            intervals=tuple(
                _interval(PREDICTORS[edge.predictor].replay(edge.window)) for edge in path.edges
            ),
            cost=path.weight,
        )
        for budget, path in paths.items()
    ]


def _interval(predictor: ReplayPredictor) -> Interval:
    match predictor:
        case Hold():
            return HoldInterval()
        case Jvp(window):
            return JvpInterval(window=window)
        case Adams(gains):
            return AdamsInterval(order=len(gains), gains=gains)


Planner = Callable[[Profile, Objective, Sequence[int]], list[Plan]]
"""(profile, objective, ascending budgets) → one plan a budget, in the same order."""

PLANNERS: dict[str, Planner] = {"pssp": _plan_pssp}
"""By name; ``pssp`` scores edges on full trajectories, as the paper does."""


def solve(
    profile: Profile,
    budgets: Iterable[int],
    *,
    planner: str = "pssp",
    predictors: Sequence[str] = ("hold", "adams"),
    metric: str = "displacement",
    gamma: float = 4.0,
    max_edge: int | None = None,
) -> Schedule:
    """Plan every budget and return the schedule; deterministic, and needs no GPU.

    The paper's own method is ``predictors=("hold", "jvp"), metric="l1"``.

    Args:
        profile: What calibration measured.
        budgets: Denoiser refreshes B, each in 1 … T; in any order, repeats count once.
        planner: Name in :data:`PLANNERS`.
        predictors: Names in :data:`meancache_plan.predictors.PREDICTORS`; ``hold`` is always
            there for intervals of one step and for the first.
        metric: Name in :data:`meancache_plan.graph.METRICS`.
        gamma: γ in 0 … 1e6, not 0, of the objective Σ C(e)^γ; larger suppresses peaks more.
        max_edge: Longest interval, 1 … T steps; the profile's own by default.

    Raises:
        InputError: An argument is out of range or unknown, or T is out of reach for a budget.
    """
    wanted = sorted({index(budget) for budget in budgets})
    longest = profile.index.max_edge if max_edge is None else max_edge
    objective = Objective(find_predictors(predictors), metric, float(gamma), longest)
    _check_known("planner", planner, PLANNERS)
    _check_known("metric", metric, METRICS)
    if not 0 < gamma <= MAX_GAMMA:
        raise InputError(f"gamma {gamma}: must be positive and at most {MAX_GAMMA:g}")
    _check_reach(wanted, longest, profile.steps)
    return Schedule(
        model=profile.settings.model,
        grid=Grid(steps=profile.steps, sigmas=profile.sigmas, tolerance=TOLERANCE),
        generation=profile.settings.generation,
        plans=tuple(PLANNERS[planner](profile, objective, wanted)),
        provenance=Provenance(
            tool=f"meancache-plan {__version__}",
            planner=planner,
            profile=profile.fingerprint,
            samples=profile.samples,
            **objective._asdict(),
        ),
    )


def _check_known(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise InputError(f"unknown {kind} {name!r}: choose from {', '.join(known)}")


def _check_reach(budgets: Sequence[int], max_edge: int, steps: int) -> None:
    """Refuse budgets out of range, and edges so short that a budget's path cannot reach T."""
    if not budgets:
        raise InputError("no budget: give at least one")
    for budget in budgets:
        if not 1 <= budget <= steps:
            raise InputError(f"budget {budget} is out of range: choose 1 to {steps}, the steps")
    if not 1 <= max_edge <= steps:
        raise InputError(f"max_edge {max_edge} is out of range: choose 1 to {steps}, the steps")
    needed = math.ceil(steps / budgets[0])
    if max_edge < needed:
        raise InputError(
            f"budget {budgets[0]}: {budgets[0]} intervals of at most {max_edge} steps do not reach "
            f"step {steps}; choose max_edge {needed} or more, or a larger budget"
        )
