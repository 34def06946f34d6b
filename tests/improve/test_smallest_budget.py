"""The smallest budget that reaches a quality when it is replayed: how it is sought."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from meancache_plan import solve
from meancache_plan.errors import BeatenError, InputError
from meancache_plan.improve.smallest_budget import smallest
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import Quality
from tests.fields import mixture_profile

STEPS = 12
RISING = dict(zip(range(2, STEPS), range(10, 60, 5), strict=True))


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return solve(mixture_profile(STEPS), range(2, STEPS))


def predicted(schedule: Schedule) -> dict[int, float]:
    assert schedule.provenance is not None
    found = {record.budget: record.predicted for record in schedule.provenance.plans}
    return {budget: q.psnr_latent for budget, q in found.items() if q is not None}


def sought(
    schedule: Schedule, wanted: float, decibels: Mapping[int, float | None]
) -> tuple[Schedule, list[int]]:
    """What is found if replay finds these, None: beaten by fewer steps; and what was refined."""
    asked: list[int] = []

    def refined(alone: Schedule) -> Schedule:
        [budget], made = alone.budgets, alone.provenance
        asked.append(budget)
        found = decibels[budget]
        if found is None or made is None:
            raise BeatenError("fewer steps are better")
        quality = Quality(psnr_latent=found, low=found - 1, high=found + 1)
        record = made.plans[0].model_copy(update={"validated": quality})
        provenance = made.model_copy(update={"plans": (record,)})
        return alone.model_copy(update={"provenance": provenance})

    return smallest(schedule, wanted, refined), asked


@pytest.mark.parametrize(
    ("start", "changes", "smallest", "order"),
    [
        (6, {}, 6, [6, 5]),
        (6, {6: 29.9, 7: 29.9}, 8, [6, 7, 8]),
        (6, {6: None}, 7, [6, 7]),
        (6, {5: 30.0, 4: 31.0}, 4, [6, 5, 4, 3]),
        (6, {5: None, 4: 31.0}, 6, [6, 5]),
        (6, dict.fromkeys(range(2, 6), 40.0), 2, [6, 5, 4, 3, 2]),
    ],
    ids=["as predicted", "larger", "beaten", "smaller", "beaten below", "smallest of all"],
)
def test_a_quality_to_prove_is_sought_from_the_predicted_budget(
    schedule: Schedule,
    start: int,
    changes: dict[int, float | None],
    smallest: int,
    order: list[int],
) -> None:
    wanted = predicted(schedule)[start]
    off = wanted - RISING[start]
    replayed = {b: None if d is None else d + off for b, d in (RISING | changes).items()}
    made, asked = sought(schedule, wanted, replayed)
    assert (made.budgets, asked) == ((smallest,), order)
    assert made.provenance is not None
    [record] = made.provenance.plans
    assert record.validated is not None
    assert record.validated.psnr_latent == replayed[smallest]


def test_a_quality_that_only_replay_finds_is_sought_downwards_from_the_largest_budget(
    schedule: Schedule,
) -> None:
    wanted = 110.0
    assert max(predicted(schedule).values()) < wanted
    made, asked = sought(schedule, wanted, {11: 115.0, 10: 112.0, 9: 109.0})
    assert (made.budgets, asked) == ((10,), [11, 10, 9])


@pytest.mark.parametrize("largest", [None, 30.0])
def test_a_quality_that_no_replay_reaches_is_refused_once_all_above_were_tried(
    schedule: Schedule, largest: float | None
) -> None:
    wanted = predicted(schedule)[9]
    with pytest.raises(InputError, match=r"no budget of this schedule reaches it when replayed"):
        sought(schedule, wanted, {9: 1.0, 10: None, 11: largest})


@pytest.mark.parametrize("wanted", [0.0, -1.0, 121.0, float("nan")])
def test_a_quality_out_of_range_is_refused_before_any_work(
    schedule: Schedule, wanted: float
) -> None:
    with pytest.raises(InputError, match="give more than 0, at most 120"):
        sought(schedule, wanted, {})
