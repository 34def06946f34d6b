"""Refinement end to end, on a flow with a closed form: what it chooses, and what it writes down."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from meancache_plan.core.grid import uniform_knots
from meancache_plan.improve.refine import refine
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Grid, PlanEntry, Schedule, from_bytes, to_bytes
from meancache_plan.schedule.provenance import PlanRecord
from meancache_runtime.predictors import Adams, Hold, Released
from meancache_runtime.schedule import Plan, parse_schedule
from tests.improve.refinement import Case, Samples, case, guarded, worst_tenth

BUDGETS = (3, 5)


def published(steps: int) -> Schedule:
    """Another's plans by the released rule, for any grid of so many steps."""
    hold, released = Hold(), Released(2)
    plans = (
        PlanEntry(budget=2, knots=(0, 1), intervals=(hold, released)),
        PlanEntry(budget=3, knots=(0, 1, steps // 3), intervals=(hold, released, released)),
    )
    grid = Grid(steps=steps, sigmas=None, tolerance=0.0)
    return Schedule(model=None, grid=grid, generation=None, plans=plans, provenance=None)


@pytest.fixture(scope="module")
def flow() -> Case:
    return case(12, BUDGETS)


@pytest.fixture(scope="module")
def refined(flow: Case) -> Schedule:
    return refine(
        flow.profile,
        flow.schedule,
        Samples(flow),
        published={"somebody's": published(12), "for 50 steps": published(50)},
    )


def record(schedule: Schedule, budget: int) -> PlanRecord:
    found = schedule.provenance and schedule.provenance.record(budget)
    assert found
    return found


def baselines(flow: Case, budget: int) -> dict[str, list[float]]:
    """PSNR of what one could have without refining, replayed here."""
    uniform, hold = uniform_knots(12, budget), Hold()
    adams = Adams((1.0, 1.0))
    plans = {
        "uniform hold": Plan(budget, uniform, (hold,) * budget),
        "uniform adams": Plan(budget, uniform, (hold, *(adams,) * (budget - 1))),
        "as solved": flow.schedule.replayable().plan(budget),
    }
    for rule in ("jvp", "released"):
        plans[f"pssp {rule}, l1, γ 4"] = solve(
            flow.profile,
            [budget],
            planner="pssp",
            predictors=("hold", rule),
            metric="l1",
            weighting="none",
            gamma=4.0,
        ).plans[0]
    if budget == 3:
        plans["somebody's"] = published(12).plans[1]
    found = {name: flow.of_plan(plan) for name, plan in plans.items()}
    return {**found, "fewer steps": flow.of_fewer_steps(budget)}


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_plan_is_no_worse_than_any_baseline_in_mean_and_worst_decile(
    flow: Case, refined: Schedule, budget: int
) -> None:
    others = baselines(flow, budget)
    decile = max(map(worst_tenth, others.values()))
    plan = next(plan for plan in refined.plans if plan.budget == budget)
    assert guarded(flow.of_plan(plan), decile) >= max(guarded(o, decile) for o in others.values())


@pytest.mark.parametrize("budget", BUDGETS)
def test_refining_gains_decibels_over_the_solved_plan(
    flow: Case, refined: Schedule, budget: int
) -> None:
    plan = next(plan for plan in refined.plans if plan.budget == budget)
    plain = solve(flow.profile, [budget], compensate=False).plans[0].plan
    assert np.mean(flow.of_plan(plan)) > np.mean(flow.of_plan(plain)) + 3
    assert np.mean(flow.of_plan(plan)) > np.mean(baselines(flow, budget)["as solved"]) + 0.5


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_baseline_is_on_record_and_the_best_with_its_score_on_all_validation_samples(
    flow: Case, refined: Schedule, budget: int
) -> None:
    scores = {score.name: score for score in record(refined, budget).candidates}
    known = baselines(flow, budget)
    for name, decibels in known.items():
        seen = decibels[: scores[name].samples]
        assert scores[name].psnr_latent == pytest.approx(np.mean(seen))
        assert scores[name].worst_decile == pytest.approx(worst_tenth(seen))
    best = max(known, key=lambda name: np.mean(known[name]))
    assert scores[best].samples == len(flow.judged)


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_winner_heads_the_record_with_the_quality_that_replay_measures(
    flow: Case, refined: Schedule, budget: int
) -> None:
    entry = record(refined, budget)
    plan = next(plan for plan in refined.plans if plan.budget == budget)
    decibels = flow.of_plan(plan)
    assert entry.candidates[0].name == entry.origin
    assert entry.validated is not None
    assert entry.validated.psnr_latent == pytest.approx(np.mean(decibels))
    assert min(decibels) <= entry.validated.low <= entry.validated.psnr_latent
    assert entry.validated.psnr_latent <= entry.validated.high <= max(decibels)


def test_candidates_of_every_kind_are_on_record_each_once(refined: Schedule) -> None:
    names = [score.name for score in record(refined, 5).candidates]
    assert len(set(names)) == len(names)
    for kind in ("uniform", "as solved", "pssp", "closed loop", "joint fit", "fewer steps"):
        assert any(name.startswith(kind) for name in names)


def test_those_dropped_early_were_replayed_on_fewer_samples(flow: Case, refined: Schedule) -> None:
    samples = [score.samples for score in record(refined, 5).candidates]
    assert samples == sorted(samples, reverse=True)
    assert set(samples) <= {2, 4, 8}
    assert len(set(samples)) > 1


def test_published_plans_join_at_their_own_steps_and_budgets_only(refined: Schedule) -> None:
    names = {b: [score.name for score in record(refined, b).candidates] for b in BUDGETS}
    assert "somebody's" in names[3]
    assert "somebody's" not in names[5]
    assert "for 50 steps" not in names[3] + names[5]


def test_the_schedule_reads_back_alike_in_both_readers(refined: Schedule) -> None:
    data = to_bytes(refined)
    assert from_bytes(data) == refined
    there = parse_schedule(data)
    assert there.budgets == refined.budgets == BUDGETS
    assert [there.plan(b).knots for b in BUDGETS] == [plan.knots for plan in refined.plans]


def test_it_is_the_solved_schedule_but_for_plans_and_their_records(
    flow: Case, refined: Schedule
) -> None:
    made, before = refined.provenance, flow.schedule.provenance
    assert made is not None
    assert before is not None
    assert (refined.model, refined.grid) == (flow.schedule.model, flow.schedule.grid)
    assert (made.profile, made.samples) == (before.profile, before.samples)
    assert made.planner == before.planner
    assert made.pruned == ()


def test_if_nothing_beats_the_solved_plan_it_stays_without_its_cost() -> None:
    flow = case(12, (3,))
    [solved] = flow.schedule.replayable().plans

    def spoil(plan: Plan, latents: Tensor) -> Tensor:
        return latents if plan.intervals == solved.intervals else latents + 1.0

    samples = Samples(flow, spoil)
    found = refine(flow.profile, flow.schedule, samples)
    [plan] = found.plans
    before, after = record(flow.schedule, 3), record(found, 3)
    assert before.fit is not None
    assert (after.fit, after.predicted) == (before.fit, before.predicted)
    assert flow.schedule.plans[0].cost is not None
    bounds = {"innovation": plan.innovation}  # of replays, no longer of the recorded trajectories
    assert plan == flow.schedule.plans[0].model_copy(update={"cost": None} | bounds)


@pytest.mark.parametrize("compensate", [False, True])
def test_a_schedule_can_be_refined_with_compensated_gains_and_without(
    flow: Case, compensate: bool
) -> None:
    solved = solve(flow.profile, BUDGETS, compensate=compensate)
    found = refine(flow.profile, solved, Samples(flow))
    for budget in BUDGETS:
        scores = {each.name: each for each in record(found, budget).candidates}
        validated = record(found, budget).validated
        assert validated is not None
        assert validated.psnr_latent >= scores["as solved"].psnr_latent


def test_a_refined_schedule_can_be_refined_again_and_loses_nothing(
    flow: Case, refined: Schedule
) -> None:
    again = refine(flow.profile, refined, Samples(flow))
    for budget in BUDGETS:
        before, after = record(refined, budget).validated, record(again, budget).validated
        assert before is not None
        assert after is not None
        assert after.psnr_latent >= before.psnr_latent - 1e-9
