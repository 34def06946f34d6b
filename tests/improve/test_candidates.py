"""Who takes part: every kind of plan once, baselines first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meancache_plan.core.grid import graded_knots, uniform_knots
from meancache_plan.improve.candidates import Candidate, pools
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import PlanEntry
from meancache_runtime.schedule import Plan
from tests.improve.refinement import Case, case


@pytest.fixture(scope="module")
def flow() -> Case:
    return case(12, (3, 5))


def names(candidates: list[Candidate], baseline: bool) -> set[str]:
    return {each.name for each in candidates if each.baseline is baseline}


def test_baselines_come_first_and_are_none_of_ours(flow: Case) -> None:
    for candidates in pools(flow.profile, flow.schedule, {}, 12).values():
        order = [each.baseline for each in candidates]
        assert order == sorted(order, reverse=True)
        assert names(candidates, True) == {
            "as solved",
            "uniform hold",
            "uniform adams",
            "pssp jvp, l1, γ 4",
            "pssp released, l1, γ 4",
        }


def test_of_equal_plans_the_baseline_stays(flow: Case) -> None:
    ours = graded_knots(12, 5, 0.4)
    assert ours != uniform_knots(12, 5)
    theirs = flow.schedule.model_copy(update={"plans": (PlanEntry.of(adams_plan(ours)),)})
    found = pools(flow.profile, flow.schedule, {"theirs": theirs}, 12)[5]
    assert [(each.name, each.baseline) for each in found if each.plan.knots == ours] == [
        ("theirs", True)
    ]


def test_no_plan_is_replayed_twice_and_all_have_the_budget(flow: Case) -> None:
    for budget, candidates in pools(flow.profile, flow.schedule, {}, 12).items():
        plans: list[Plan] = [each.plan for each in candidates]
        assert len({(plan.knots, plan.intervals) for plan in plans}) == len(plans)
        assert {plan.budget for plan in plans} == {budget}
        assert max(len(plan.knots) for plan in plans) == budget


def test_intervals_are_no_longer_than_asked_for(flow: Case) -> None:
    short = pools(flow.profile, solve(flow.profile, [3], max_edge=4), {}, 4)[3]
    simple = ("uniform", "adams, intervals")
    for plan in [each.plan for each in short if not each.name.startswith(simple)]:
        assert max(np.diff((*plan.knots, 12))) <= 4


def test_without_l1_deviations_the_papers_planner_stays_out(flow: Case) -> None:
    settings = flow.profile.settings.model_copy(update={"transferred_from": flow.profile.sigmas})
    empty = np.empty((flow.profile.samples, 0), np.float32)
    carried = replace(flow.profile, settings=settings, l1=empty)
    found = pools(carried, flow.schedule, {}, 12)[5]
    assert names(found, True) == {"as solved", "uniform hold", "uniform adams"}
