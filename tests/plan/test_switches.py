"""Where the denoiser changes, every plan of every planner has a knot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meancache_plan import solve
from meancache_plan.core.grid import edges, graded_knots, uniform_knots
from meancache_plan.core.interval_graph import interval_graph
from meancache_plan.core.objective import Objective
from meancache_plan.errors import InputError
from meancache_plan.improve.candidates import pools
from meancache_plan.improve.moves import moves_of
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.transfer import transfer
from meancache_plan.plan.plan_budgets import plan_budgets
from meancache_plan.plan.planners import PLANNERS
from meancache_plan.plan.reliability import with_reliability
from meancache_plan.plan.resample import plan_draws
from meancache_plan.plan.solve import check_budgets
from meancache_runtime.predictors import Adams, Hold
from tests.fields import mixture_profile, shifted_grid
from tests.trajectories import Trajectories, mixture_trajectories, plan_cost

T = 9
SWITCHES = (3, 7)
OBJECTIVES = {
    "path": Objective(("adams",), gamma=2.0),
    "pssp": Objective(("hold", "jvp"), weighting="width", gamma=2.0),
}


@pytest.fixture(scope="module")
def seen() -> Trajectories:
    return replace(mixture_trajectories(T), switches=SWITCHES)


def switching(profile: Profile, switches: Sequence[int]) -> Profile:
    update = {"switches": tuple(switches)}
    return replace(profile, settings=profile.settings.model_copy(update=update))


@pytest.fixture(scope="module")
def profile() -> Profile:
    return switching(mixture_profile(T, samples=6), SWITCHES)


def paths(budget: int) -> list[tuple[int, ...]]:
    """All knots of at most ``budget`` with those that are forced."""
    return [
        (0, *later)
        for size in range(budget)
        for later in combinations(range(1, T), size)
        if set(SWITCHES) <= set(later)
    ]


@pytest.mark.parametrize("budget", [3, 4, 6, T])
def test_the_path_is_the_lightest_of_all_that_pass_through_the_switches(
    seen: Trajectories, budget: int
) -> None:
    objective = OBJECTIVES["path"]
    [found] = plan_budgets(seen, objective, "path", [budget])[budget]
    costs = {
        knots: plan_cost(
            seen,
            knots,
            [Hold(), *[Adams((1.0, 1.0))] * (len(knots) - 1)],
            weighting="propagated",
        )
        for knots in paths(budget)
    }
    assert found.cost == pytest.approx(min(costs.values()), rel=1e-8)
    assert costs[found.plan.knots] == pytest.approx(found.cost, rel=1e-8)


@pytest.mark.parametrize("budget", [3, 5])
def test_pssp_is_the_lightest_of_all_paths_that_pass_through_the_switches(
    seen: Trajectories, budget: int
) -> None:
    objective = OBJECTIVES["pssp"]
    free = interval_graph(replace(seen, switches=()), objective)
    [found] = plan_budgets(seen, objective, "pssp", [budget])[budget]

    def cost(knots: tuple[int, ...]) -> float:
        ends = zip(knots, (*knots[1:], T), strict=True)
        return sum(min(e["weight"] for e in free[t][s].values()) for t, s in ends)

    assert found.cost == pytest.approx(min(map(cost, paths(budget))), rel=1e-12)
    assert set(SWITCHES) <= set(found.plan.knots)


@pytest.mark.parametrize("planner", PLANNERS)
def test_plans_from_resampled_prompts_pass_through_the_switches(
    seen: Trajectories, planner: str
) -> None:
    draws = np.random.default_rng(0).integers(1, 3, size=(5, 6))
    for plans in plan_draws(seen, OBJECTIVES[planner], planner, draws, [4, 5]):
        for plan in plans.values():
            assert set(SWITCHES) <= {interval.start for interval in plan}


@pytest.mark.parametrize("planner", PLANNERS)
def test_every_solved_plan_has_a_knot_there(profile: Profile, planner: str) -> None:
    solved = solve(profile, range(3, T + 1), planner=planner, predictors=("hold",))
    for plan in with_reliability(profile, solved).plans:
        assert set(SWITCHES) <= set(plan.knots)


def test_every_candidate_of_a_refinement_has_a_knot_there(profile: Profile) -> None:
    other = solve(switching(profile, ()), [3, 4, 6])
    assert any(not set(SWITCHES) <= set(plan.knots) for plan in other.plans)
    pool = pools(profile, solve(profile, [3, 4, 6]), {"of others": other}, T)
    for candidates in pool.values():
        assert len(candidates) > 3
        for candidate in candidates:
            assert set(SWITCHES) <= set(candidate.plan.knots), candidate.name


def test_moved_knots_leave_the_switches(profile: Profile) -> None:
    moved = moves_of(profile, "width", T).near((0, 2, 3, 5, 7))
    assert moved
    assert all(set(SWITCHES) <= set(knots) for knots in moved)


def test_a_budget_that_is_too_small_is_refused_by_name(profile: Profile) -> None:
    with pytest.raises(InputError, match=r"takes over at step 3, 7, .*: choose 3 or more"):
        solve(profile, [2])
    with pytest.raises(InputError, match="the denoiser changes at step 3, 7"):
        uniform_knots(T, 2, SWITCHES)
    with pytest.raises(InputError, match="choose max_edge 4 or more"):
        check_budgets([3], 3, T, SWITCHES)


@given(data=st.data(), steps=st.integers(2, 40))
def test_simple_knots_are_as_many_as_before_and_include_the_switches(
    data: st.DataObject, steps: int
) -> None:
    places = st.lists(st.integers(1, steps - 1), unique=True, max_size=min(4, steps - 1))
    switches = sorted(data.draw(places))
    budget = data.draw(st.integers(len(switches) + 1, steps))
    for knots in (
        uniform_knots(steps, budget, switches),
        graded_knots(steps, budget, 2.5, switches),
    ):
        assert len(set(knots)) == budget
        assert list(knots) == sorted(knots)
        assert {0, *switches} <= set(knots)
        assert knots[-1] < steps


@given(data=st.data(), steps=st.integers(1, 20), longest=st.integers(1, 20))
def test_no_edge_passes_over_a_switch_and_no_other_is_missing(
    data: st.DataObject, steps: int, longest: int
) -> None:
    switches = data.draw(st.lists(st.integers(1, 20), unique=True, max_size=3).map(sorted))
    expected = [
        (t, s)
        for t, s in combinations(range(steps + 1), 2)
        if s - t <= longest and not any(t < switch < s for switch in switches)
    ]
    assert list(edges(steps, longest, switches)) == expected


def test_on_another_grid_a_switch_is_the_first_step_at_or_after_its_noise_level(
    profile: Profile,
) -> None:
    for steps in (5, T, 20):
        found = transfer(profile, shifted_grid(steps))
        for old, new in zip(SWITCHES, found.switches, strict=True):
            level = profile.sigmas[old] + 1e-6
            assert found.sigmas[new] <= level < found.sigmas[new - 1]


def test_a_switch_before_the_last_step_of_another_grid_is_forgotten(profile: Profile) -> None:
    late = switching(profile, [T - 1])
    assert transfer(late, (*shifted_grid(3)[:-1], 0.0)).switches == ()
