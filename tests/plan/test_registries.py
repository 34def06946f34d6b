"""A predictor and a planner are each one entry of a registry: then everything knows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from meancache_plan import profile_flow, solve
from meancache_plan.core.grid import uniform_knots
from meancache_plan.core.interval_costs import arc_costs, edge_costs, sample_costs
from meancache_plan.core.moments import Moments
from meancache_plan.core.objective import Objective
from meancache_plan.core.parallel_edges import Edge
from meancache_plan.core.predictors import PREDICTORS, Predictor, Raced
from meancache_plan.core.search import Path, Search
from meancache_plan.improve.candidates import pools
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.planners import (
    PLANNERS,
    Method,
    Planner,
    planner_help,
    predictor_help,
)
from meancache_plan.plan.reliability import with_reliability
from meancache_plan.schedule.artifact import from_bytes, to_bytes
from meancache_runtime.binding import LinearForm, adams
from meancache_runtime.predictors import Adams, Hold
from tests.fields import mixture, noise, shifted_grid

T = 12
GAINS = (1.0, 0.5)


def half(sigmas: Sequence[float], start: int, end: int, window: int, displaced: bool) -> LinearForm:
    """Adams–Bashforth that follows the velocity's change by half."""
    return adams(sigmas, (start - window, start), end, GAINS, displaced)


def half_errors(found: Moments) -> NDArray[np.float64]:
    """‖a − y/2‖²."""
    return found.aa[:, None] - found.ay + found.yy / 4


def uniform(intervals: Sequence[Edge], steps: int) -> Search:
    """Evenly spread knots, whatever intervals weigh; between parallel ones the lightest."""

    def search(
        weights: NDArray[np.float64], budgets: Sequence[int], count: int
    ) -> dict[int, list[Path]]:
        known = dict(zip(intervals, weights.tolist(), strict=True))

        def path(budget: int) -> Path:
            knots = uniform_knots(steps, budget)
            edges = [
                min((i for i in intervals if i[:2] == ends), key=lambda i: known[i])
                for ends in zip(knots, (*knots[1:], steps), strict=True)
            ]
            return Path(tuple(edges), sum(known[edge] for edge in edges))

        return {budget: [path(budget)] for budget in budgets}

    return search


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    raced = (Raced("path", 2.0),)
    rule = Predictor(half, lambda _: Adams(GAINS), half_errors, windowed=True, raced=raced)
    monkeypatch.setitem(PREDICTORS, "half", rule)
    about, method = "spreads knots evenly", Method(edge_costs, uniform)
    planner = Planner(about, lambda: method, lambda rule: rule.replay is not None)
    monkeypatch.setitem(PLANNERS, "uniform", planner)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_flow(mixture(), noise(4), shifted_grid(T))


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("planner", ["path", "pssp", "uniform"])
def test_a_registered_predictor_is_planned_with_by_every_planner(
    profile: Profile, planner: str
) -> None:
    schedule = solve(profile, [4, 6], planner=planner, predictors=("half",))
    assert from_bytes(to_bytes(with_reliability(profile, schedule))).plans == schedule.plans
    for entry in schedule.plans:
        ends = zip(entry.knots, (*entry.knots[1:], T), strict=True)
        expected = [Hold() if t == 0 or s == t + 1 else Adams(GAINS) for t, s in ends]
        assert list(entry.intervals) == expected


@pytest.mark.usefixtures("toys")
def test_a_registered_predictor_is_raced_in_the_ways_that_its_entry_names(
    profile: Profile,
) -> None:
    found = pools(profile, solve(profile, [4]), {}, T)[4]
    plans = {each.name: each.plan for each in found}
    assert "path half, width, mean, γ 2" in plans
    assert Adams(GAINS) in plans["path half, width, mean, γ 2"].intervals


@pytest.mark.usefixtures("toys")
def test_a_registered_planner_places_the_knots(profile: Profile) -> None:
    schedule = solve(profile, [3, 5], planner="uniform")
    assert [entry.knots for entry in schedule.plans] == [uniform_knots(T, b) for b in (3, 5)]


@pytest.mark.usefixtures("toys")
def test_after_the_knot_before_an_interval_costs_what_it_does_alone_with_that_window(
    profile: Profile,
) -> None:
    objective = Objective(("half",), weighting="width")
    for intervals, costs in arc_costs(profile, objective):
        places = [i for i, each in enumerate(intervals) if each.predictor == "half"]
        if places:
            alone = sample_costs(profile, objective, [intervals[i] for i in places])
            np.testing.assert_allclose(costs[:, places], alone, rtol=1e-6, atol=1e-12)


@pytest.mark.usefixtures("toys")
def test_help_names_every_entry_of_the_registries() -> None:
    assert planner_help().endswith(", uniform spreads knots evenly")
    groups = re.findall(r"(\w+(?: and \w+)*) \(([^)]*)\)", predictor_help())
    told = {name: users for names, users in groups for name in names.split(" and ")}
    assert told.keys() == PREDICTORS.keys()
    for name, users in told.items():
        planners = [each for each, rule in PLANNERS.items() if name in rule.predictors]
        assert users == ", ".join(planners)
    assert told["half"] == ", ".join(PLANNERS)


@pytest.mark.parametrize("planner", PLANNERS)
def test_every_registered_planner_plans_with_each_predictor_that_it_says_it_can_use(
    profile: Profile, planner: str
) -> None:
    for predictor in PLANNERS[planner].predictors:
        schedule = solve(profile, [4], planner=planner, predictors=(predictor,))
        assert len(schedule.plans[0].knots) <= 4


def test_what_was_registered_for_a_test_is_gone() -> None:
    assert "half" not in PREDICTORS
    assert "uniform" not in PLANNERS
