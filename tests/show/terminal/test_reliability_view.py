"""What people are told of a calibration's reliability."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from meancache_plan.measure.profile import Profile
from meancache_plan.plan.reliability import with_reliability
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.schedule.provenance import Reliability
from meancache_plan.show.style import COLOURS
from meancache_plan.show.terminal.reliability_facts import (
    profile_facts,
    schedule_facts,
    stability_note,
)
from meancache_plan.show.terminal.views import show_profile, show_schedule
from meancache_runtime.predictors import Adams, Hold, Jvp, Predictor, Released
from tests.fields import mixture_profile
from tests.show.shown import in_one_line

STEPS = 12


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Four prompts of two seeds each."""
    return mixture_profile(STEPS, samples=8)


def with_record(schedule: Schedule, **update: object) -> Schedule:
    """The schedule with another reliability, or another stability in its first record."""
    made = schedule.provenance
    assert made is not None
    if "stability" in update:
        first = made.plans[0].model_copy(update=update)
        update = {"plans": (first, *made.plans[1:])}
    return schedule.model_copy(update={"provenance": made.model_copy(update=update)})


def test_profile_view_names_correlation_and_regret_as_they_were_assessed(profile: Profile) -> None:
    made = with_reliability(profile, solve(profile, [2, 3, 4])).provenance
    assert made is not None
    assert made.reliability is not None
    found = made.reliability
    text = in_one_line(show_profile(profile))
    assert f"alike, Spearman's ρ {found.rank_correlation:.2f}" in text
    excess = f"{found.regret['1']:.0%}, {found.regret['2']:.0%}"
    assert f"n = 1, 2 prompts cost {excess} more than from all 4 (budgets 2, 3, 4)" in text


def test_profile_of_one_prompt_is_not_judged(profile: Profile) -> None:
    alone = replace(profile, prompt_index=np.zeros_like(profile.prompt_index))
    assert profile_facts(alone) == {}
    assert "agreement" not in in_one_line(show_profile(alone))


def test_edges_too_short_for_few_refreshes_are_assessed_at_what_they_reach() -> None:
    short = mixture_profile(STEPS, samples=4, max_edge=2)
    assert "(budgets 6)" in profile_facts(short)["regret"]


def test_profile_without_l1_deviations_is_shown(profile: Profile) -> None:
    settings = profile.settings.model_copy(update={"transferred_from": "sha256:0"})
    carried = replace(profile, settings=settings, l1=profile.l1[:, :0])
    text = in_one_line(show_profile(carried))
    assert "do not carry over" in text
    assert "Spearman" in text


def test_schedule_view_has_a_line_of_reliability_and_notes_the_knots(profile: Profile) -> None:
    plain = solve(profile, [3])
    assert "reliability" not in in_one_line(show_schedule(plain))
    found = Reliability(rank_correlation=0.874, regret={"2": 0.31, "16": 0.031, "4": 12.0})
    full = with_record(with_record(plain, reliability=found), stability=(1.0, 0.35, 0.61))
    text = in_one_line(show_schedule(full))
    assert "alike, Spearman's ρ 0.87; plans from n = 16 prompts cost 3.1% more" in text
    third = full.plans[0].knots[1]
    assert (
        "knots found again in 35% to 61% of resampled calibrations; least sure: step "
        f"{third}" in text
    )


@pytest.mark.parametrize(
    ("excess", "text"),
    [(0.0, "0.0%"), (1e-5, "under 0.1%"), (0.0123, "1.2%"), (0.234, "23%"), (1e9, "over 1000%")],
)
def test_an_excess_has_two_digits(excess: float, text: str) -> None:
    facts = schedule_facts(Reliability(rank_correlation=None, regret={"8": excess}))
    assert facts == {"reliability": f"plans from n = 8 prompts cost {text} more"}


def test_nothing_known_is_nothing_said() -> None:
    assert schedule_facts(None) == {}
    assert schedule_facts(Reliability(rank_correlation=None, regret={})) == {}
    assert stability_note((0, 4), None) is None
    assert stability_note((0,), (1.0,)) is None


def test_knots_that_are_all_as_sure_have_no_least_sure_one() -> None:
    assert stability_note((0, 4, 9), (1.0, 0.9, 0.9)) == (
        "knots found again in 90% of resampled calibrations"
    )


def test_odd_files_are_shown_too(profile: Profile) -> None:
    odd = Reliability(rank_correlation=0.5, regret={"many": 0.1, "\x1b[31m": 0.2})
    odd_schedule = with_record(solve(profile, [3]), reliability=odd)
    text = in_one_line(show_schedule(with_record(odd_schedule, stability=(1.0,))))
    assert "ρ 0.50" in text
    assert "\x1b" not in text
    assert "found again" not in text


def test_every_kind_of_interval_has_a_style_and_is_drawn(profile: Profile) -> None:
    intervals = (
        Hold(),
        Jvp(1),
        Released(1),
        Adams((1.0,)),
    )
    assert {type(interval) for interval in intervals} == set(get_args(Predictor))
    assert {interval.name for interval in intervals} <= COLOURS.keys()
    plan = PlanEntry(budget=4, knots=(0, 3, 6, 9), intervals=intervals)
    schedule = solve(profile, [4]).model_copy(update={"plans": (plan,)})
    assert "1 hold, 1 jvp, 1 released, 1 adams" in in_one_line(show_schedule(schedule))
