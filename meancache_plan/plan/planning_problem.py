"""What is to be planned on a profile: the objective, and the graph whose lightest path it is."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TypedDict, Unpack

import networkx as nx

from meancache_plan.core.interval_graph import interval_graph
from meancache_plan.core.objective import Objective
from meancache_plan.core.predictors import PREDICTORS, check_predictors
from meancache_plan.errors import InputError, check_kind, check_list, check_whole
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.planners import find_planner
from meancache_runtime.predictors import MAX_ORDER

PLANNER = "path"
"""The planner, unless another is chosen."""


class Choices(TypedDict, total=False):
    """How to plan; what is not chosen has a default that suits the profile.

    They are the keywords that :func:`planning_graph` and ``solve`` have in common, typed once, and
    travel no further: what planning passes on is the :class:`Objective` that they make.

    Attributes:
        planner: Name in :data:`meancache_plan.plan.planners.PLANNERS`; ``path`` by default.
        predictors: Names that the planner knows; ``hold`` is always there for intervals of one
            step and for the first. (Elsewhere, mixed with ``adams``, it made plans worse when
            they were replayed than their costs say.) By default ``adams``; ``fitted`` where
            the profile is of other steps than Euler's, as ``adams`` reproduces these.
        metric: Name in :data:`meancache_plan.core.objective.DEVIATIONS`; ``rms`` by default.
        weighting: Name in :data:`meancache_plan.core.objective.WEIGHTINGS`; ``propagated`` by
            default where the profile has measured it, else ``width``.
        statistic: See :class:`meancache_plan.core.objective.Statistic`; ``mean`` by default.
        gamma: γ in 0 … 1e6, not 0, of the objective Σ C^γ; 4 by default.
        order: Terms of ``fitted``, 1 … 4; 2 by default.
        max_edge: Longest interval, 1 … T steps; the profile's own by default.
    """

    planner: str
    predictors: Sequence[str] | None
    metric: str
    weighting: str | None
    statistic: str
    gamma: float
    order: int
    max_edge: int | None


def objective_of(
    profile: Profile,
    *,
    planner: str = PLANNER,
    predictors: Sequence[str] | None = None,
    metric: str = "rms",
    weighting: str | None = None,
    statistic: str = "mean",
    gamma: float = 4.0,
    order: int = 2,
    max_edge: int | None = None,
) -> Objective:
    """The objective of these :class:`Choices`.

    Raises:
        InputError: A choice is out of range or unknown, or was not measured.
    """
    check_kind("profile", profile, Profile, "calibrate makes one, and load_profile reads one")
    suitable = find_planner(planner).predictors
    if metric == "l1" and not profile.has_l1:
        raise InputError(
            "metric l1 was not measured on this grid, to which the profile was carried over: "
            "choose metric rms, or calibrate on this grid"
        )
    longest, steps = profile.index.max_edge if max_edge is None else max_edge, profile.steps
    if not 1 <= check_whole("max_edge", longest) <= steps:
        raise InputError(f"max_edge {longest} is out of range: choose 1 to {steps}, the steps")
    if weighting is None:
        weighting = "propagated" if profile.has_propagation else "width"
    if not 1 <= check_whole("order", order) <= MAX_ORDER:
        raise InputError(f"order {order} is out of range: choose 1 to {MAX_ORDER}")
    names = _predictors(profile, predictors, suitable)
    if order != 2 and all(PREDICTORS[name].replay is not None for name in names):
        raise InputError(f"order {order} is for the predictor fitted: name it, or leave order")
    check_kind("gamma", gamma, (int, float), "give a number, such as 4")
    return Objective(
        predictors=names,
        metric=metric,
        weighting=weighting,
        statistic=statistic,
        gamma=float(gamma),
        order=order,
        max_edge=longest,
    )


def _predictors(
    profile: Profile, names: Sequence[str] | None, suitable: Sequence[str]
) -> tuple[str, ...]:
    """The names given, or what suits the profile; all of them ``suitable``."""
    if names is None:
        return ("fitted" if profile.settings.displaced and "fitted" in suitable else "adams",)
    return check_predictors(check_list("predictors", names, "give a list of names"), suitable)


def planning_graph(profile: Profile, **choices: Unpack[Choices]) -> "nx.MultiDiGraph[int]":
    """The problem that ``solve`` solves with these choices, as a networkx multigraph.

    Nodes are the steps 0 … T, with their noise level ``sigma``. An edge t→s is an interval with one
    ``predictor`` that looks back ``window`` steps (0: not at all), with its ``cost`` C, which is
    the weighted deviation over all samples, and its ``weight`` C^γ. A plan for the budget B is a
    path 0→T of at most B edges; ``solve`` finds the lightest. With planner ``path``, an edge of
    window K > 0 was scored for plans whose knot before is t − K, and may only follow an edge that
    starts there. The graph itself carries ``planner``, ``predictors`` and the other choices.

    ``networkx.write_graphml`` writes it; ``meancache-plan show PROFILE --graph FILE`` does too, or
    draws it.

    Args:
        profile: What calibration measured.
        choices: How to plan, as for ``solve``: see :class:`Choices`.

    Raises:
        InputError: A choice is out of range or unknown, or was not measured.

    Example:
        >>> import torch
        >>> from meancache_plan import planning_graph, profile_flow
        >>> grid = [1 - i / 4 for i in range(5)]
        >>> profile = profile_flow(lambda z, sigma: z * sigma, torch.randn(2, 4), grid)
        >>> planning_graph(profile, planner="pssp").has_edge(0, 4)
        True
    """
    objective = objective_of(profile, **choices)
    planner = choices.get("planner", PLANNER)
    graph = interval_graph(profile, objective, find_planner(planner).method().costs)
    listed = ", ".join(objective.predictors)  # GraphML has no lists
    graph.graph.update(asdict(objective), planner=planner, predictors=listed)
    return graph
