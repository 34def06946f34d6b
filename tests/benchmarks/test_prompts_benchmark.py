"""How many prompts plans need: every plan with what it took, and what it reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.contest import Bench, Judge
from benchmarks.digits import DigitFlow, DigitSource
from benchmarks.planners import digits_contest
from benchmarks.prompts import prepared, reached

STEPS, BUDGETS, PROMPTS = 12, (4, 5), 8


@pytest.fixture
def contest(tmp_path: Path) -> Bench:
    return digits_contest(DigitSource(DigitFlow.of_noise(), STEPS), PROMPTS, 4, BUDGETS, tmp_path)


def test_solved_plans_cost_their_full_runs_and_refined_ones_every_refresh_too(
    contest: Bench,
) -> None:
    ways = prepared(contest)
    solved, before = next(ways), contest.fitted.refreshes
    refined = next(ways)
    spent = contest.fitted.refreshes - before
    assert (solved.method, solved.prompts, solved.cost) == ("solved", PROMPTS, PROMPTS)
    assert (refined.method, refined.prompts) == ("refined", PROMPTS)
    assert tuple(solved.plans) == tuple(refined.plans) == BUDGETS
    taken = (refined.cost - 2 * PROMPTS) * STEPS  # less the full runs of calibration and refinement
    assert taken == pytest.approx(spent)
    assert [*map(len, (refined.plans[b].knots for b in BUDGETS))] == [*BUDGETS]


def test_a_plan_is_judged_and_a_budget_that_was_left_out_is_said(contest: Bench) -> None:
    judge = Judge(contest, contest.heldout, "judged")
    solved, _ = prepared(contest)
    found = judge.decibels(solved.plans[4], 4)
    assert reached(judge, solved.plans[4], 4).startswith(f"{found.mean():.1f} (")
    assert reached(judge, solved.plans[4], 4).endswith(f" ({found.min():.1f})")
    assert reached(judge, None, 4) == "–"
