"""The benchmark of gains fitted in several ways, on a small flow."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gains
from benchmarks.contest import Bench, solved
from benchmarks.digits import DigitFlow, DigitSource
from benchmarks.planners import digits_contest
from meancache_plan.improve.closed_loop import prior_gains
from meancache_plan.improve.dealt_samples import final_errors
from meancache_runtime.schedule import Grid, Plan, Schedule

STEPS, BUDGET = 12, 4
ROWS = [0, 2, 5]


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("gains")
    return digits_contest(DigitSource(DigitFlow.of_noise(), STEPS), 8, 4, (BUDGET,), folder)


@pytest.fixture(scope="module")
def plan(contest: Bench) -> Plan:
    return gains.in_closed_loop(contest, solved(contest)[BUDGET], ROWS)


def replayed(contest: Bench, plan: Plan) -> list[float]:
    """Mean squared errors of the runtime's own replay."""
    samples = contest.fitted
    schedule = Schedule(None, Grid(STEPS, samples.sigmas, 0.05), (plan,))
    return final_errors(samples, ROWS, samples.replay(ROWS, schedule, BUDGET)).tolist()


def test_errors_that_gains_are_learned_by_are_those_of_a_replay(contest: Bench, plan: Plan) -> None:
    own = [torch.tensor(each, dtype=torch.float64) for each in prior_gains(plan) or []]
    found = gains.squared_errors(contest.fitted, ROWS, plan.knots, own)
    assert found.tolist() == pytest.approx(replayed(contest, plan), rel=1e-6)


def test_learning_gains_lowers_the_errors_that_it_learns_by(contest: Bench, plan: Plan) -> None:
    def score(each: Plan) -> float:
        return -torch.tensor(replayed(contest, each)).log().mean().item()

    found = gains.learned(contest.fitted, plan, ROWS, 10, score)
    assert found.knots == plan.knots
    assert score(found) > score(plan) + 0.1


def test_every_way_is_judged_with_what_it_took(
    contest: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gains, "COUNTS", (4, 8))
    monkeypatch.setattr(gains, "LEARNED", 4)
    monkeypatch.setattr(gains, "RANK", 2)
    found = list(gains.plans(contest, BUDGET, 2))
    assert [(each.method, each.samples) for each in found] == [
        ("as solved", 0),
        ("closed loop", 4),
        ("closed loop, then joint", 4),
        ("closed loop, then joint, every copy", 4),
        ("closed loop, then Adam through the model", 4),
    ]
    *_, closed, joint, every, learned = (each.refreshes for each in found)
    assert closed == 4 * BUDGET < joint < every
    assert learned == closed + 2 * 3 * gains.BATCH * BUDGET
