"""One budget's search: whose knots are tried and moved, what is fitted, and who leads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import pytest
import torch

from meancache_plan.files.journal import Journal
from meancache_plan.improve.candidates import Candidate
from meancache_plan.improve.closed_loop import plain_gains, with_gains
from meancache_plan.improve.moves import Knots, Moves
from meancache_plan.improve.race import (
    FIELD,
    FITTED,
    MOVES,
    PREDICTED,
    STAGES,
    Race,
    Stage,
)
from meancache_plan.improve.trials import Trials
from meancache_plan.plan.simple_plans import adams_plan, hold_plan
from meancache_runtime.predictors import Hold, Released
from meancache_runtime.schedule import Plan
from tests.fields import linear, noise, shifted_grid
from tests.improve.flow_ensemble import FlowEnsemble
from tests.improve.refinement import SAMPLES, Case, Samples, case


@pytest.fixture(scope="module")
def flow() -> Case:
    return case(12, (3, 5))


def moves(
    near: Callable[[Knots], list[Knots]] = lambda knots: [],
    predicted: Callable[[Knots], float] = lambda knots: 0.0,
) -> Moves:
    return Moves(near, predicted)


STAY = moves()


def race(flow: Case, where: Moves = STAY) -> Race:
    trials = Trials(Samples(flow), Journal(), lambda refreshes: None)
    fitted = [row for row in range(SAMPLES) if row not in flow.judged]
    return Race(trials, fitted, flow.judged, 3, where)


def test_standings_sum_up_decibels(flow: Case) -> None:
    trials = race(flow).trials
    full = trials.ensemble.full(range(SAMPLES), 12)
    largest = 4 * float(full.std(correction=0))
    errors = largest**2 * 10 ** -np.arange(1.0, 4.0, 0.1)  # 10 … 39 dB
    found = trials.standing(errors)
    assert found.samples == 30
    assert found.mean == pytest.approx(24.5)
    assert found.worst_decile == pytest.approx(11.0)
    assert found.guarded(10.0) == pytest.approx(24.5)
    assert found.guarded(13.0) == pytest.approx(22.5)


def moved(found: Race) -> set[Knots]:
    entries = [each.candidate for each in found.entries]
    return {each.plan.knots for each in entries if ", moved: " in each.name}


def fit_quality(found: Race, knots: Knots) -> float:
    plan = adams_plan(knots)
    errors = found.trials.fit(
        knots, plain_gains(plan), found.fit_rows, order=3, shrinkage=0.1
    ).errors
    return found.trials.standing(errors).mean


def only(*knots: Knots) -> list[Candidate]:
    return [Candidate(f"only {each}", adams_plan(each), baseline=True) for each in knots]


def test_a_move_that_helps_is_where_the_next_starts(flow: Case) -> None:
    start = (0, 2, 4)
    paths = {start: [(0, 2, 3), (0, 2, 10)], (0, 2, 10): [(0, 6, 10)]}
    found = race(flow, moves(lambda knots: paths.get(knots, [])))
    found.run(only(start), 3)
    qualities = [fit_quality(found, knots) for knots in ((0, 2, 3), start, (0, 2, 10), (0, 6, 10))]
    assert qualities == sorted(qualities)
    assert {plan.knots for plan in found.quick} == {start, *chain(*paths.values())}
    assert (0, 6, 10) in moved(found)
    assert found.ranking()[0].candidate.plan.knots == (0, 6, 10)


def test_what_is_predicted_counts_beside_a_quick_fit(flow: Case) -> None:
    start, better, third = (0, 2, 4), (0, 2, 10), (0, 1, 2)
    gained = fit_quality(race(flow), better) - fit_quality(race(flow), start)
    assert gained > 0
    for share, stays in ((0.9, False), (1.1, True)):
        promised = {start: share * gained / PREDICTED}
        paths: dict[Knots, list[Knots]] = {start: [better], better: [third], third: []}
        where = moves(lambda knots, p=paths: p[knots], lambda knots, p=promised: p.get(knots, 0.0))
        found = race(flow, where)
        found.run(only(start), 3)
        assert (third in {plan.knots for plan in found.quick}) is not stays


def test_no_more_moves_are_tried_than_told(flow: Case) -> None:
    every = [(0, a, b) for a in range(1, 11) for b in range(a + 1, 12)]
    found = race(flow, moves(lambda knots: every))
    found.run(only((0, 2, 4)), 3)
    assert len(found.quick) == MOVES + 1


def test_fitted_are_the_best_what_it_was_moved_from_and_the_safest_others(flow: Case) -> None:
    field = [(0, 2, 4), (0, 6, 9), (0, 6, 10), (0, 5, 9)]
    for moved_to, fitted in (((0, 5, 10), 1), ((0, 1, 2), 0)):
        found = race(flow, moves(lambda knots, to=moved_to: [to]))
        found.run(only(*field), 3)
        quick = {plan.knots: standing for plan, standing in found.quick.items()}
        best = sorted(field, key=lambda knots: -quick[knots].mean)[0]
        safest = sorted(field, key=lambda knots: -quick[knots].guarded(found.decile))
        expected = [*dict.fromkeys([*[moved_to] * fitted, best, *safest])][:FITTED]
        names = [each.candidate for each in found.entries if "closed loop" in each.candidate.name]
        assert {each.plan.knots for each in names} == {*expected}
        assert moved(found) == {*[moved_to] * fitted}


def test_fits_to_compare_knots_are_on_few_samples_and_share_what_they_begin_with(
    flow: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meancache_plan.improve.race.QUICK_SAMPLES", 4)
    monkeypatch.setattr("meancache_plan.improve.race.JOINT_SAMPLES", 2)
    told: list[int] = []
    found = race(flow, moves(lambda knots: [(0, 2, 10)]))
    found.trials = Trials(Samples(flow), Journal(), told.append)
    found.run(only((0, 2, 4)), 3)
    replays, quick, fits, joint = [24, 6, 6, 12], [12, 4], [24, 24, 8, 24], [7] * 2
    assert told == [*replays, *quick, *fits, *joint, 24, 24]


@pytest.mark.parametrize("risky", [(0, 6, 9), (0, 6, 10)])
def test_fitted_together_are_the_gains_that_lead_where_the_worst_tenth_counts(
    flow: Case, risky: Knots, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay, pool = Trials.replay, only((0, 6, 9), (0, 6, 10))

    def made_up(trials: Trials, plan: Plan, rows: Sequence[int]) -> list[float]:
        if plan in [each.plan for each in pool]:
            return replay(trials, plan, rows)
        return [1e-9] * 7 + [1e10] if plan.knots == risky else [1e-4] * 8

    monkeypatch.setattr(Trials, "replay", made_up)
    found = race(flow)
    found.run(pool, 3)
    means = {each.candidate.plan.knots: each.standing.mean for each in found.entries}
    joint = {e.candidate.plan.knots for e in found.entries if "joint" in e.candidate.name}
    assert max(means, key=lambda knots: means[knots]) == risky
    assert joint == {each.plan.knots for each in pool} - {risky}


def test_promising_are_the_best_replayed_and_those_of_which_most_is_predicted(flow: Case) -> None:
    field = [(0, 2, 4), (0, 6, 9), (0, 6, 10), (0, 5, 9), (0, 4, 8), (0, 1, 2)]
    ranks = {knots: float(-place) for place, knots in enumerate(field)}
    found = race(flow, moves(predicted=lambda knots: ranks[knots]))
    found.run(only(*field), 3)
    whole = [each for each in found.ranking() if each.candidate.name.startswith("only")]
    best = whole[0].candidate.plan.knots
    assert [plan.knots for plan in found.quick] == [*dict.fromkeys([best, *field])][:FIELD]


def test_moves_that_do_not_help_are_not_made(flow: Case) -> None:
    found = race(flow, moves(lambda knots: [(0, 1, 2), (0, 1, 3)]))
    found.run(only((0, 7, 10)), 3)
    assert found.ranking()[0].candidate.plan.knots == (0, 7, 10)
    joint = [each.candidate for each in found.entries if "joint" in each.candidate.name]
    assert {each.plan.knots for each in joint} == {(0, 7, 10)}


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ((), {"only"}),
        (("closed loop",), {"only", "closed loop"}),
        (("closed loop", "moves"), {"only", "closed loop", "moved"}),
        (("closed loop", "joint fit"), {"only", "closed loop", "joint fit"}),
        (STAGES, {"only", "closed loop", "moved", "joint fit"}),
    ],
)
def test_stages_that_are_left_out_leave_no_plan(
    flow: Case, stages: Sequence[Stage], expected: set[str]
) -> None:
    found = race(flow, moves(lambda knots: [(0, 2, 10)]))
    found.stages = stages
    found.run(only((0, 2, 4)), 3)
    names = [each.candidate.name for each in found.entries]
    kinds = {"moved" if ", moved: " in name else re.split(r",| \(", name)[0] for name in names}
    assert kinds == expected


def test_of_our_own_plans_only_those_without_gains_are_replayed(flow: Case) -> None:
    rules = Plan(3, (0, 2, 4), (Hold(), Released(2), Released(2)))
    ours = [Candidate("gains", adams_plan((0, 2, 6))), Candidate("no gains", rules)]
    for stages, expected in ((STAGES, {"no gains"}), ((), {"gains", "no gains"})):
        found = race(flow)
        found.stages = stages
        found.run([*only((0, 2, 4)), *ours], 3)
        assert {each.candidate.name for each in found.entries} & {"gains", "no gains"} == expected


def test_a_field_without_a_baseline_is_judged_by_fewer_steps(flow: Case) -> None:
    found = race(flow)
    found.run([Candidate("ours", adams_plan((0, 2, 6)))], 3)
    assert found.decile == found.fewer.worst_decile


def test_a_field_in_which_no_plan_has_gains_is_only_replayed(flow: Case) -> None:
    plan = Plan(3, (0, 2, 4), (Hold(), Released(2), Released(2)))
    found = race(flow, moves(lambda knots: [(0, 2, 10)]))
    best = found.run([Candidate("only", plan, baseline=True)], 3)
    assert best.candidate.plan == plan
    assert len(found.entries) == 1


def on_linear_flow(stages: Sequence[Stage] = STAGES) -> Race:
    """The search among plans with one set of knots, on a flow where gains have much to mend."""
    rates, grid = torch.linspace(-2.0, 1.5, 16, dtype=torch.float64), shifted_grid(12)
    trials = Trials(
        FlowEnsemble(linear(rates), noise(SAMPLES), grid), Journal(), lambda refreshes: None
    )
    rows = list(range(SAMPLES))
    found = Race(trials, rows[::2], rows[1::2], 3, STAY, stages)
    found.run(only((0, 2, 3, 6, 9)), 5)
    return found


def test_gains_fitted_together_lead_where_validation_finds_them_better() -> None:
    first, *others = on_linear_flow().ranking()
    assert first.candidate.name.startswith("joint fit, damping ")
    closed = next(each for each in others if each.candidate.name.startswith("closed loop"))
    assert first.standing.mean > closed.standing.mean + 1
    assert first.standing.worst_decile >= closed.standing.worst_decile


@pytest.mark.parametrize("factors", [[100.0] * 8, [0.1] * 7 + [1e5]], ids=["mean", "worst tenth"])
def test_gains_fitted_together_do_not_lead_where_mean_or_worst_tenth_is_worse(
    factors: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = Trials.replay
    others = [each.candidate.plan for each in on_linear_flow(STAGES[:2]).entries]

    def spoil(trials: Trials, plan: Plan, rows: Sequence[int]) -> list[float]:
        errors = replay(trials, plan, rows)
        return errors if plan in others else (np.array(errors) * factors).tolist()

    monkeypatch.setattr(Trials, "replay", spoil)
    first, *others = (each.candidate.name for each in on_linear_flow().ranking())
    assert first.startswith("closed loop")
    assert any(name.startswith("joint fit") for name in others)


def test_a_plan_without_fitted_gains_has_none_of_others(flow: Case) -> None:
    for plan in (adams_plan((0, 4, 8), 3), hold_plan((0, 4), 2)):
        assert race(flow).crossed(plan) == plan
    fitted = with_gains(adams_plan((0, 4), 2), [(1.0,), (1.0, 0.5)])
    assert race(flow).crossed(fitted) not in (fitted, adams_plan((0, 4), 2))
