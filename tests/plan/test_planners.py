from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from meancache_plan.core.interval_graph import weighed
from meancache_plan.core.objective import WEIGHTINGS, Objective
from meancache_plan.core.search import pssp
from meancache_plan.errors import InputError
from meancache_plan.plan.plan_budgets import Planned, plan_budgets
from meancache_plan.plan.planners import PLANNERS, find_planner
from meancache_runtime.binding import bind
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Plan
from tests.trajectories import (
    Trajectories,
    applied,
    deviation,
    mixture_trajectories,
    plan_cost,
)

T = 20
FITTED = Objective(("hold", "adams", "fitted"), gamma=2.0, order=3)


@pytest.fixture(scope="module")
def seen() -> Trajectories:
    return mixture_trajectories(T, samples=8)


def planned(
    seen: Trajectories, planner: str, objective: Objective, count: int = 1
) -> dict[int, list[Planned]]:
    return plan_budgets(seen, objective, planner, range(1, T + 1), count)


def test_planners_are_found_by_name_and_others_refused_with_the_choice() -> None:
    assert [find_planner(name) for name in PLANNERS] == list(PLANNERS.values())
    with pytest.raises(InputError, match="unknown planner 'magic': choose from path, pssp"):
        find_planner("magic")


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_on_the_knots_of_pssp_replay_costs_no_less_than_on_those_of_the_path(
    seen: Trajectories, weighting: str
) -> None:
    """PSSP scores an interval with a knot that its own plan need not have."""
    objective = Objective(("hold", "adams"), weighting=weighting, gamma=2.0)
    paths, others = (planned(seen, name, objective) for name in ("path", "pssp"))
    excess = []
    for budget in range(1, T + 1):
        plan = others[budget][0].plan
        cost = plan_cost(seen, plan.knots, plan.intervals, weighting=weighting)
        least = paths[budget][0].cost
        assert cost >= least * (1 - 1e-9)
        excess.append(cost - least)
    assert max(excess) > 0


def test_pssp_takes_the_edges_of_the_shortest_path_of_its_graph(seen: Trajectories) -> None:
    objective = Objective(("hold", "jvp", "released", "adams"), weighting="none", gamma=4.0)
    found = weighed(seen, objective)
    paths = pssp(found.intervals, T)(found.weights, range(1, T + 1), 1)
    for budget, [outcome] in planned(seen, "pssp", objective).items():
        assert outcome.fit is None
        [path] = paths[budget]
        assert outcome.plan.knots == path.knots
        assert outcome.cost == path.weight
        named = [
            (interval.name, getattr(interval, "window", getattr(interval, "span", 0)))
            for interval in outcome.plan.intervals
        ]
        edges = [(e.predictor, 0 if e.predictor == "adams" else e.window) for e in path.edges]
        assert named == edges


def test_the_best_plans_of_a_path_differ_and_cost_ever_more(seen: Trajectories) -> None:
    for budget, outcomes in planned(seen, "path", FITTED, count=4).items():
        costs = [outcome.cost for outcome in outcomes]
        assert costs == sorted(costs)
        assert len({outcome.plan.knots for outcome in outcomes}) == len(outcomes)
        assert len(outcomes) == (1 if budget == 1 else 4)
        assert {outcome.plan.budget for outcome in outcomes} == {budget}


def test_intervals_of_one_step_hold_and_no_other_predictor_than_those_named_is_used(
    seen: Trajectories,
) -> None:
    kinds: dict[str, set[str]] = {}
    for name, predictors in (("path", ("adams",)), ("pssp", ("jvp",)), ("pssp", ("released",))):
        found = set[str]()
        for [outcome] in planned(seen, name, Objective(predictors, gamma=2.0)).values():
            plan = outcome.plan
            for (t, s), interval in zip(pairwise((*plan.knots, T)), plan.intervals, strict=True):
                assert (interval.name == "hold") == (t == 0 or s == t + 1)
                found.add(interval.name)
        kinds[predictors[0]] = found
    assert kinds == {name: {"hold", name} for name in ("adams", "jvp", "released")}


def weighted_error(seen: Trajectories, plan: Plan, weighting: str) -> float:
    """√(mean over samples of Σ over intervals of the squared weighted deviation)."""
    bound = bind(plan, seen.sigmas)
    missed = [
        deviation(seen, applied(seen, bound.forms[t]), t, s, weighting)
        for t, s in pairwise((*plan.knots, T))
    ]
    return float(np.sqrt(np.square(missed).sum(axis=0).mean()))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("predictors", [("fitted",), ("hold", "adams", "fitted")])
def test_a_fit_leaves_what_the_plans_own_intervals_leave_on_the_velocities(
    seen: Trajectories, predictors: tuple[str, ...], weighting: str
) -> None:
    objective = Objective(predictors, weighting=weighting, gamma=2.0, order=3)
    fits = 0
    for [outcome] in planned(seen, "path", objective).values():
        fitted = [i for i in outcome.plan.intervals if isinstance(i, Adams)]
        if outcome.fit is None:
            assert all(interval.gains == (1.0, 1.0) for interval in fitted)
            continue
        fits += 1
        expected = weighted_error(seen, outcome.plan, weighting)
        assert outcome.fit.fitted == pytest.approx(expected, rel=1e-6)
        assert outcome.fit.cross_validated >= outcome.fit.fitted
    assert fits > T / 2


def test_fitted_intervals_have_as_many_terms_as_asked_for_and_knots_allow(
    seen: Trajectories,
) -> None:
    for order in (1, 2, 3, 4):
        objective = Objective(("fitted",), gamma=2.0, order=order)
        for [outcome] in planned(seen, "path", objective).values():
            ends = pairwise((*outcome.plan.knots, T))
            for n, ((t, s), interval) in enumerate(zip(ends, outcome.plan.intervals, strict=True)):
                if s == t + 1:
                    assert interval == Hold()
                else:
                    assert isinstance(interval, Adams)
                    assert len(interval.gains) == min(order, n + 1)


def test_fitting_makes_plans_better_on_the_trajectories_that_it_saw(
    seen: Trajectories,
) -> None:
    plain, fitted = (
        planned(seen, "path", Objective((name,), gamma=2.0)) for name in ("adams", "fitted")
    )
    for budget in range(1, T):
        errors = [weighted_error(seen, p[budget][0].plan, "propagated") for p in (plain, fitted)]
        assert errors[1] < errors[0]
