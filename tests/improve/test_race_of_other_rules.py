"""One budget's search among plans whose gains scale another rule's terms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meancache_plan.core.predictors import ADAMS, PREDICTORS
from meancache_plan.files.journal import Journal
from meancache_plan.improve.candidates import Candidate
from meancache_plan.improve.moves import Moves
from meancache_plan.improve.race import Race
from meancache_plan.improve.trials import Trials
from meancache_plan.plan.simple_plans import adams_plan
from meancache_runtime.predictors import Adams
from tests.improve.refinement import SAMPLES, Samples, case


class Other(Adams):
    """A rule of its own, by name."""


OTHERS = ADAMS._replace(
    name="other", scaled=Other, gains=lambda rule: rule.gains if isinstance(rule, Other) else None
)


def test_knots_are_moved_and_gains_fitted_by_the_rule_that_the_plan_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = {"other": replace(PREDICTORS["adams"], terms=OTHERS), **PREDICTORS}
    monkeypatch.setattr("meancache_plan.improve.closed_loop.PREDICTORS", rules)
    flow, moves = case(12, (3,)), Moves(lambda knots: [(0, 2, 10)], lambda knots: 0.0)
    fitted = [row for row in range(SAMPLES) if row not in flow.judged]
    trials = Trials(Samples(flow), Journal(), lambda refreshes: None)
    race = Race(trials, fitted, flow.judged, 3, moves)
    plain = (Other((1.0,)), Other((1.0, 1.0)), Other((1.0, 1.0)))
    race.run([Candidate("only", replace(adams_plan((0, 2, 4)), intervals=plain), True)], 3)
    plans = [*race.quick, *(each.candidate.plan for each in race.entries)]
    assert {plan.knots for plan in race.quick} == {(0, 2, 4), (0, 2, 10)}
    assert {type(rule) for plan in plans for rule in plan.intervals} == {Other}
