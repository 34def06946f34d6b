from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from meancache_plan.core.interval_graph import interval_graph
from meancache_plan.core.objective import WEIGHTINGS, Objective
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import from_bytes, to_bytes
from meancache_runtime import integrate
from meancache_runtime.predictors import Adams, Hold, Released
from tests.fields import (
    euler,
    mixture,
    mixture_profile,
    noise,
    polynomial,
    profile_of,
    shifted_grid,
)
from tests.runtime import by_hand
from tests.trajectories import with_propagation

T = 20
PAPER: dict[str, Any] = {
    "planner": "pssp",
    "predictors": ("hold", "jvp"),
    "metric": "l1",
    "weighting": "none",
}
METHODS: dict[str, dict[str, Any]] = {
    "default": {},
    "hold as well": {"predictors": ("hold", "adams")},
    "fitted": {"predictors": ("hold", "adams", "fitted"), "order": 3},
    "worst tenth": {"statistic": "cvar:0.9", "weighting": "none", "gamma": 1},
    "paper": PAPER,
    "released": {**PAPER, "predictors": ("released",)},
    "all by rms": {"planner": "pssp", "predictors": ("hold", "jvp", "released", "adams")},
}


@pytest.fixture(scope="module")
def profile() -> Profile:
    return with_propagation(mixture_profile(T))


def test_unless_told_otherwise_the_path_planner_weighs_what_was_measured(
    profile: Profile,
) -> None:
    for given, weighting in ((profile, "propagated"), (mixture_profile(T), "width")):
        schedule = solve(given, [5])
        explicit = solve(
            given,
            [5],
            planner="path",
            predictors=("adams",),
            metric="rms",
            weighting=weighting,
            statistic="mean",
            gamma=4.0,
            order=2,
            max_edge=T,
            compensate=True,
        )
        assert to_bytes(schedule) == to_bytes(explicit)


def test_the_schedule_says_what_it_is_for_and_where_it_comes_from(profile: Profile) -> None:
    schedule = solve(
        profile, [7, 5, 7], planner="pssp", predictors=["jvp"], statistic="cvar:0.5", max_edge=6
    )
    assert [plan.budget for plan in schedule.plans] == [5, 7]
    assert schedule.grid.sigmas == profile.sigmas
    assert schedule.generation is not None
    assert schedule.generation.dtype == "float64"
    assert schedule.provenance is not None
    assert schedule.provenance.tool.startswith("meancache-plan ")
    said = schedule.provenance.model_dump(exclude={"tool", "plans"})
    assert said == {
        "effort": {"calibration": profile.refreshes, "refinement": 0},
        "planner": "pssp",
        "predictors": ("jvp",),
        "metric": "rms",
        "weighting": "propagated",
        "statistic": "cvar:0.5",
        "gamma": 4.0,
        "order": 2,
        "max_edge": 6,
        "profile": profile.fingerprint,
        "transferred_from": None,
        "samples": 3,
        "pruned": (),
        "reliability": None,
        "commands": (),
    }
    assert [record.budget for record in schedule.provenance.plans] == [5, 7]
    origins = {record.origin for record in schedule.provenance.plans}
    assert origins == {"pssp, propagated, cvar:0.5, γ 4"}


def test_a_record_has_a_calibration_where_gains_were_fitted(profile: Profile) -> None:
    plain = solve(profile, [5, T], predictors=("hold", "adams"))
    fitted = solve(profile, [5, T], predictors=("fitted",), order=3)
    for schedule, expected, terms in ((plain, [False, False], 2), (fitted, [True, False], 3)):
        assert schedule.provenance is not None
        assert schedule.provenance.order == terms
        found = [record.fit is not None for record in schedule.provenance.plans]
        assert found == expected
        assert max(len(getattr(i, "gains", ())) for i in schedule.plans[0].intervals) == terms


@pytest.mark.parametrize("method", METHODS)
def test_a_schedule_survives_its_file_and_the_runtime_reads_it(
    profile: Profile, method: str
) -> None:
    schedule = solve(profile, range(1, T + 1), **METHODS[method])
    assert from_bytes(to_bytes(schedule)) == schedule
    assert schedule.replayable().budgets == tuple(range(1, T + 1))


@pytest.mark.parametrize("method", METHODS)
def test_solving_twice_gives_the_same_bytes(method: str) -> None:
    once, again = (
        to_bytes(solve(with_propagation(mixture_profile(T)), budgets, **METHODS[method]))
        for budgets in (range(1, T + 1), [*range(T, 0, -1), 4])
    )
    assert once == again


@pytest.mark.parametrize("method", METHODS)
def test_more_budget_never_costs_more_and_edges_stay_within_max_edge(
    profile: Profile, method: str
) -> None:
    schedule = solve(profile, range(4, T + 1), max_edge=5, **METHODS[method])
    costs = [plan.cost for plan in schedule.plans if plan.cost is not None]
    assert len(costs) == len(schedule.plans)
    assert costs == sorted(costs, reverse=True)
    for plan in schedule.plans:
        assert len(plan.knots) <= plan.budget
        assert max(s - t for t, s in pairwise((*plan.knots, T))) <= 5


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_of_all_steps_holds_them_all_and_is_the_full_run(
    profile: Profile, method: str
) -> None:
    schedule = solve(profile, [T], **METHODS[method])
    plan = schedule.plans[0]
    assert plan.knots == tuple(range(T))
    assert set(plan.intervals) == {Hold()}
    assert plan.cost == 0.0
    start = noise(1, seed=9)[0]
    latents = integrate(mixture(), start, schedule, budget=T)
    assert torch.equal(latents, euler(mixture(), start, profile.sigmas)[0][-1])


def test_the_papers_plan_costs_the_sum_of_its_edges(profile: Profile) -> None:
    objective = Objective(("hold", "jvp"), "l1", "none", gamma=4.0)
    graph = interval_graph(profile, objective)
    for plan in solve(profile, range(2, T + 1), **PAPER).plans:
        weights = [
            edge["weight"]
            for (t, s), interval in zip(pairwise((*plan.knots, T)), plan.intervals, strict=True)
            for edge in graph[t][s].values()
            if edge["predictor"] == interval.name
            and edge["window"] == getattr(interval, "window", 0)
        ]
        assert len(weights) == len(plan.knots)
        assert plan.cost == pytest.approx(math.fsum(weights), rel=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("predictors", [("adams",), ("hold", "adams"), ("hold", "fitted")])
def test_a_velocity_linear_in_sigma_is_replayed_exactly_from_two_knots_on(
    predictors: tuple[str, ...], weighting: str
) -> None:
    sigmas, field = shifted_grid(12), polynomial(noise(2, 8))
    starts = noise(4, 8)
    profile = profile_of([euler(field, start, sigmas)[1] for start in starts], sigmas)
    profile = with_propagation(profile)
    schedule = solve(profile, range(1, 13), predictors=predictors, weighting=weighting)
    assert (schedule.plans[0].cost or 0.0) > 1e-3
    for plan in schedule.plans[1:]:
        assert plan.knots[:2] == (0, 1)
        assert (plan.cost or 0.0) < 1e-12
        start = noise(1, 8, seed=9)[0]
        latents = integrate(field, start, schedule, budget=plan.budget)
        full = euler(field, start, sigmas)[0][-1]
        assert float((latents - full).abs().max()) < 1e-7
    two = schedule.plans[1].intervals[1]
    assert isinstance(two, Adams)
    assert two.gains == pytest.approx((1.0, 1.0), abs=1e-6)


def test_a_released_plan_replays_as_the_released_scripts_do(profile: Profile) -> None:
    schedule = solve(profile, range(3, T), **METHODS["released"])
    start = noise(1, seed=9)[0]
    spans_seen = set[int]()
    for plan in schedule.plans:
        spans = {
            knot: interval.span if isinstance(interval, Released) else 1
            for knot, interval in zip(plan.knots, plan.intervals, strict=True)
        }
        spans_seen |= set(spans.values())
        expected = by_hand.released(mixture(), start, spans, profile.sigmas)[0][-1]
        latents = integrate(mixture(), start, schedule, budget=plan.budget)
        assert torch.allclose(latents, expected, rtol=0, atol=1e-10)
    assert len(spans_seen) > 2


def test_on_the_mixture_the_path_replays_closer_to_the_full_run_than_the_paper() -> None:
    """On held-out noise, at each budget; with fitted gains closer still, on the whole."""
    profile = mixture_profile(T, samples=12)
    budgets = range(6, 15, 2)
    fitted = {"predictors": ("hold", "fitted"), "order": 3}
    missed = []
    for method in (PAPER, {"predictors": ("adams",)}, fitted):
        schedule = solve(profile, budgets, **method)
        held_out = noise(12, seed=77)
        full = torch.stack([euler(mixture(), z, profile.sigmas)[0][-1] for z in held_out])
        missed.append(
            [
                float((integrate(mixture(), held_out, schedule, budget=b) - full).norm())
                for b in budgets
            ]
        )
    paper, path, fitted = missed
    assert all(ours < theirs for ours, theirs in zip(path, paper, strict=True))
    assert sum(map(math.log, fitted)) < sum(map(math.log, path))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"budgets": []}, "no budget"),
        ({"budgets": [0, 5]}, "budget 0 is out of range: choose 1 to 20"),
        ({"budgets": [5, 21]}, "budget 21 is out of range: choose 1 to 20"),
        ({"planner": "magic"}, "unknown planner 'magic': choose from path, pssp"),
        ({"metric": "psnr"}, "unknown metric 'psnr': choose from l1, rms"),
        (
            {"metric": "l1"},
            "metric 'l1' is not known for a given previous knot.*: choose rms, or another planner",
        ),
        ({"planner": "pssp", "metric": "l1", "predictors": ["adams"]}, "l1 .* predictor 'adams'"),
        ({"weighting": "x"}, "unknown weighting 'x': choose from none, width, propagated"),
        ({"weighting": ""}, "unknown weighting ''"),
        ({"statistic": "median"}, "unknown statistic 'median': choose mean, quantile:0.9 or cvar"),
        ({"statistic": "cvar:1"}, "unknown statistic 'cvar:1'"),
        ({"predictors": ["hold", "x"]}, "predictor 'x' is not .*: hold, adams, fitted"),
        ({"predictors": ["jvp"]}, "'jvp' is not one of the planner's: hold, adams, fitted"),
        (
            {"planner": "pssp", "predictors": ["fitted"]},
            "'fitted' is not one of the planner's: hold, jvp, released, adams",
        ),
        ({"predictors": []}, "name at least one of hold, adams, fitted"),
        ({"predictors": ["adams", "adams"]}, "each once"),
        ({"gamma": 0.0}, "gamma 0.0: must be positive"),
        ({"gamma": -1.0}, "gamma -1.0: must be positive"),
        ({"gamma": math.nan}, "gamma nan: must be positive"),
        ({"gamma": math.inf}, "gamma inf: must be positive"),
        ({"gamma": 1e5}, "gamma 100000.0: .* choose a smaller gamma"),
        ({"gamma": 1e5, "planner": "pssp"}, "gamma 100000.0: .* choose a smaller gamma"),
        ({"order": 0}, "order 0 is out of range: choose 1 to 4"),
        ({"order": 5}, "order 5 is out of range: choose 1 to 4"),
        ({"order": 3}, "order 3 is for the predictor fitted"),
        ({"max_edge": 0}, "max_edge 0 is out of range: choose 1 to 20"),
        ({"max_edge": 21}, "max_edge 21 is out of range: choose 1 to 20"),
        ({"budgets": [9, 3], "max_edge": 6}, "budget 3: .* choose max_edge 7 or more"),
    ],
)
def test_solve_refuses_by_name_and_says_what_to_do(
    profile: Profile, arguments: dict[str, object], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        solve(profile, **{"budgets": [5], **arguments})


def test_propagated_is_refused_where_it_was_not_measured() -> None:
    for planner in ("path", "pssp"):
        with pytest.raises(InputError, match="does not know how errors propagate: calibrate with"):
            solve(mixture_profile(T), [5], planner=planner, weighting="propagated")


@pytest.mark.parametrize("planner", ["path", "pssp"])
def test_the_smallest_max_edge_that_works_is_the_one_named(profile: Profile, planner: str) -> None:
    assert len(solve(profile, [3], planner=planner, max_edge=7).plans[0].knots) == 3
