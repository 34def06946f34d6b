"""How far held-out samples strayed is said in words, beside the plan that they followed."""

from __future__ import annotations

from meancache_plan.judge.figures import INNOVATION
from meancache_plan.judge.findings import AtKnot, Row
from meancache_plan.show.page.plan_data import plan_data
from meancache_plan.show.strays import stray_note
from tests.judge.tiny_comparison import SCHEDULE, evaluation, row, spread


def judged(*knots: AtKnot, largest: list[float]) -> Row:
    found = row("plan", "B = 3", 1.0, [40.0] * len(largest), budget=3, innovations=knots)
    return found.model_copy(update={"figures": {**found.figures, INNOVATION: spread(largest)}})


CALM = AtKnot(knot=1, median=0.25, high=0.5, largest=0.51, beyond=0.0)
WILD = AtKnot(knot=4, median=0.5, high=1.9, largest=2.0, beyond=0.25)


def test_the_share_beyond_bounds_is_said_with_the_knots() -> None:
    note = stray_note(judged(CALM, WILD, largest=[0.4, 0.3, 0.5, 2.0]))
    assert note == (
        "innovation on 4 held-out samples: up to 2.00 of its bound, at knot 4; beyond bounds: 25% "
        "(at knot 4)"
    )


def test_of_calm_samples_the_largest_is_said() -> None:
    note = stray_note(judged(CALM, largest=[0.4, 0.51]))
    assert note == (
        "innovation on 2 held-out samples: up to 0.51 of its bound, at knot 1; beyond bounds: none"
    )


def test_it_stands_beside_the_plan_that_was_judged_alone() -> None:
    found = judged(CALM, largest=[0.4, 0.51])
    first, second = plan_data(SCHEDULE, evaluation(found))
    assert stray_note(found) in first["notes"]
    assert not any("innovation" in note for note in second["notes"])
    assert stray_note(row("plan", "B = 3", 1.0, [40.0], budget=3)) is None
