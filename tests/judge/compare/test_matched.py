"""The choice at equal cost, on figures made by hand."""

from __future__ import annotations

import pytest

from meancache_plan.errors import InputError
from meancache_plan.judge.compare.equal_cost import losses, matches
from tests.judge.tiny_comparison import comparison, row, spread

PLAN = row("plan", "B = 4", 4.0, [40.0, 44.0], budget=4)


def test_the_best_setting_that_costs_no_more_is_chosen() -> None:
    rows = [
        row("cache", str(cost), cost, [q, q]) for cost, q in ((2, 20), (3, 31), (4, 30), (5, 50))
    ]
    (match,) = matches(comparison(PLAN, *rows), "refreshes")
    assert match.best is rows[1] or match.best == rows[1]
    assert match.gain == pytest.approx(42 - 31)
    assert not match.lost


@pytest.mark.parametrize(("cost", "taken"), [(4.08, True), (4.09, False)])
def test_two_percent_more_compute_count_as_equal(cost: float, taken: bool) -> None:
    (match,) = matches(comparison(PLAN, row("cache", "x", cost, [50.0, 50.0])), "refreshes")
    assert (match.best is not None) == taken


@pytest.mark.parametrize(("cost", "taken"), [(4.2, True), (4.21, False)])
def test_five_percent_more_seconds_count_as_equal(cost: float, taken: bool) -> None:
    (match,) = matches(comparison(PLAN, row("cache", "x", cost, [50.0, 50.0])), "relative_seconds")
    assert (match.best is not None) == taken


def test_one_slow_sample_does_not_make_a_peer_dear() -> None:
    plan = row("plan", "B = 4", 4.0, [40.0] * 3, budget=4)
    cache = row("cache", "x", 4.0, [50.0] * 3)
    slow = cache.figures | {"relative_seconds": spread([4.0, 4.0, 40.0])}
    given = comparison(plan, cache.model_copy(update={"figures": slow}), prompts=3)
    (match,) = matches(given, "relative_seconds")
    assert match.best is not None


def test_a_loss_is_named_and_is_clear_where_every_sample_agrees() -> None:
    better = row("cache", "x", 4.0, [41.0, 45.0])
    mixed = row("other", "y", 4.0, [60.0, 30.0])
    found = list(losses(matches(comparison(PLAN, better, mixed), "refreshes")))
    assert [(match.peer, match.gain) for match in found] == [("cache", -1.0), ("other", -3.0)]
    assert [match.clearly for match in found] == [True, False]


def test_less_flip_is_better() -> None:
    plan = row("plan", "B = 4", 4.0, [0.2, 0.2], budget=4)
    rows = [row("cache", str(q), 4.0, [q, q]) for q in (0.5, 0.1, 0.3)]
    (match,) = matches(comparison(plan, *rows), "refreshes", "flip")
    assert match.best is not None
    assert match.best.setting == "0.1"
    assert match.lost


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(InputError, match="lpips was not measured"):
        matches(comparison(PLAN, row("cache", "x", 3.0, [1.0, 1.0])), "refreshes", "lpips")


def test_every_plan_meets_every_peer_and_failures_none() -> None:
    failed = row("cache", "x", 1.0, [1.0, 1.0]).model_copy(
        update={"method": "broken", "figures": {}, "failure": "no"}
    )
    other = row("plan", "B = 2", 2.0, [30.0, 30.0], budget=2)
    rows = (PLAN, other, row("cache", "x", 3.0, [1.0, 1.0]), failed)
    found = matches(comparison(*rows), "refreshes")
    assert [(m.plan.budget, m.peer, m.best is None) for m in found] == [
        (4, "cache", False),
        (2, "cache", True),
    ]
