"""Who leads a budget's search: by the mean, less what the worst decile falls short."""

from __future__ import annotations

import pytest

from meancache_plan.files.journal import Journal
from meancache_plan.improve.candidates import Candidate
from meancache_plan.improve.closed_loop import with_gains
from meancache_plan.improve.moves import Moves
from meancache_plan.improve.race import Entry, Race
from meancache_plan.improve.trials import Standing, Trials
from meancache_plan.plan.simple_plans import adams_plan
from tests.improve.refinement import Samples, case


@pytest.fixture
def found() -> Race:
    """A search in which simply fewer steps have 20 dB, and 15 in the worst decile."""
    flow = case(12, (3, 5))
    trials = Trials(Samples(flow), Journal(), lambda refreshes: None)
    race = Race(trials, [], range(8), 3, Moves(lambda knots: [], lambda knots: 0.0))
    race.fewer = Standing(8, 20.0, 15.0)
    return race


def entry(name: str, mean: float, worst: float, samples: int = 8, baseline: bool = False) -> Entry:
    return Entry(
        Candidate(name, adams_plan((0, 4)), baseline), Standing(samples, mean, worst), [0.0]
    )


def test_a_higher_mean_does_not_make_up_for_a_worst_decile_below_every_baselines(
    found: Race,
) -> None:
    found.entries = [
        entry("baseline", 30.0, 25.0, baseline=True),
        entry("risky", 33.0, 20.0),
        entry("safe", 31.0, 24.5),
        entry("judged in part", 50.0, 50.0, samples=4),
    ]
    assert [each.candidate.name for each in found.ranking()] == ["safe", "baseline", "risky"]
    assert not found.beaten
    found.fewer = Standing(8, 29.0, 28.0)  # which raises the bar for all: 27.5 for the safe one
    assert found.beaten


def test_a_baseline_that_was_fitted_competes_but_sets_no_worst_decile(found: Race) -> None:
    fitted = with_gains(adams_plan((0, 4)), [(1.0,), (1.0, 0.5)])
    lucky = entry("lucky", 30.0, 29.0, baseline=True)
    found.entries = [
        lucky._replace(candidate=lucky.candidate._replace(plan=fitted)),
        entry("baseline", 25.0, 20.0, baseline=True),
        entry("better", 31.0, 21.0),
    ]
    assert found.decile == 20.0
    assert [each.candidate.name for each in found.ranking()] == ["better", "lucky", "baseline"]
