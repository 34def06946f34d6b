from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meancache_plan import solve
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.transfer import on_grid, resized
from meancache_plan.plan.wishes import Answer, Wish, budgets_for, fulfil, recipe_wish
from meancache_plan.schedule.artifact import ModelIdentity, Schedule, from_bytes, to_bytes
from meancache_plan.schedule.provenance import Quality
from meancache_plan.schedule.pruning import prune, pruned_notes
from tests.fields import mixture_profile, shifted_grid

STEPS = 12


@pytest.fixture(scope="module")
def profile() -> Profile:
    return mixture_profile(STEPS)


@pytest.fixture(scope="module")
def schedule(profile: Profile) -> Schedule:
    return solve(profile, range(2, STEPS))


def predicted(schedule: Schedule) -> dict[int, float]:
    assert schedule.provenance is not None
    found = {record.budget: record.predicted for record in schedule.provenance.plans}
    return {budget: q.psnr_latent for budget, q in found.items() if q is not None}


def answer(wish: Wish, profile: Profile) -> Answer:
    return fulfil(wish, profile, partial(solve, profile))


def test_a_budget_is_a_number_a_list_or_a_range(profile: Profile) -> None:
    assert budgets_for(Wish(budget="7"), profile) == (7,)
    assert budgets_for(Wish(budget="9,2-4"), profile) == (2, 3, 4, 9)


@pytest.mark.parametrize("steps", [7, 12, 50])
def test_a_speed_up_allows_as_many_refreshes_as_keep_it(steps: int) -> None:
    settings = mixture_profile(steps, samples=1)
    for budget in range(1, steps + 1):
        assert budgets_for(Wish(speedup=steps / budget), settings) == (budget,)
    found = budgets_for(Wish(speedup=3.0), settings)
    assert found == (steps // 3,)


@pytest.mark.parametrize("each", [0.125, 0.1, 0.7, 1 / 3])
def test_seconds_allow_as_many_refreshes_as_fit(profile: Profile, each: float) -> None:
    timed = replace(profile, seconds=np.full(profile.samples, each))
    for budget in range(1, STEPS):
        assert budgets_for(Wish(max_seconds=budget * each), timed) == (budget,)
        assert budgets_for(Wish(max_seconds=(budget + 0.9) * each), timed) == (budget,)


def test_a_wish_for_seconds_is_answered_with_its_arithmetic(profile: Profile) -> None:
    timed = replace(profile, seconds=np.full(profile.samples, 0.5))
    [note] = answer(Wish(max_seconds=2.2), timed).notes
    assert note.startswith("--max-seconds 2.2: 4 refreshes × 0.5 s per step = 2 s")
    assert "12 × 0.5 s = 6 s" in note


def test_quality_is_reached_by_the_smallest_budget_that_is_predicted_to(
    profile: Profile, schedule: Schedule
) -> None:
    quality = predicted(schedule)
    for wanted in (20.0, 35.0, 50.0, max(quality.values())):
        smallest = min(budget for budget, decibels in quality.items() if decibels >= wanted)
        made, notes = answer(Wish(min_psnr=wanted), profile)
        assert made.plans == tuple(p for p in schedule.plans if p.budget == smallest)
        assert predicted(made) == {smallest: quality[smallest]}
        assert f"budget {smallest} is the smallest predicted to reach" in notes[0]


def test_all_budgets_are_those_that_paths_of_the_longest_edge_can_have(profile: Profile) -> None:
    assert budgets_for(Wish(all=True), profile) == tuple(range(2, 12))
    assert budgets_for(Wish(all=True), profile, max_edge=3) == tuple(range(4, 12))
    made = fulfil(Wish(all=True), profile, partial(solve, profile, max_edge=3), max_edge=3).schedule
    assert made.budgets[0] == 4


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Wish(speedup=0.99), "--speedup 0.99: 12 steps allow 1 to 12 times"),
        (Wish(speedup=13), "--speedup 13"),
        (Wish(speedup=float("nan")), "--speedup nan"),
        (Wish(max_seconds=0.1), "--max-seconds 0.1: a single step takes 0.125 s"),
        (Wish(max_seconds=float("nan")), "--max-seconds nan"),
        (Wish(max_seconds=1.5), "all 12 steps take 1.5 s: no schedule is needed"),
        (Wish(min_psnr=0), "--min-psnr 0: give more than 0"),
        (Wish(min_psnr=121), "--min-psnr 121: .* at most 120"),
        (Wish(min_psnr=119), "--min-psnr 119: no budget .* the best, 11, gets"),
        (Wish(budget="twelve"), "--budget 'twelve'"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_by_name(
    profile: Profile, wish: Wish, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        answer(wish, profile)


def test_seconds_need_timings_and_a_choice_needs_three_steps(profile: Profile) -> None:
    with pytest.raises(InputError, match="--max-seconds: this profile has no timings"):
        answer(Wish(max_seconds=1), replace(profile, seconds=profile.seconds * 0))
    with pytest.raises(InputError, match="2 steps leave no choice of a budget: give --budget"):
        answer(Wish(all=True), mixture_profile(2))


def with_model(profile: Profile, name: str) -> Profile:
    identity = ModelIdentity(
        id=name, revision=None, fingerprint=None, pipeline=None, scheduler=None, adapters=()
    )
    return replace(profile, settings=profile.settings.model_copy(update={"model": identity}))


def test_who_asks_for_nothing_gets_the_budgets_of_the_model_s_recipe() -> None:
    measured = with_model(mixture_profile(28, samples=1), "stabilityai/stable-diffusion-3.5-large")
    assert recipe_wish(measured) == Wish(budget="6,8,10,14")


@pytest.mark.parametrize("model", ["reference", "someone/else", None])
def test_without_a_recipe_for_so_many_steps_one_has_to_ask(
    profile: Profile, model: str | None
) -> None:
    measured = profile if model is None else with_model(profile, model)
    named = "" if model is None else f" for {model}"
    reason = f"no recipe names budgets{named} at 12 steps: give exactly one of"
    with pytest.raises(InputError, match=reason):
        recipe_wish(measured)


def test_wishes_cannot_be_combined_and_none_is_too_few(profile: Profile) -> None:
    with pytest.raises(InputError, match="nothing was asked for: give exactly one of --b"):
        answer(Wish(), profile)
    with pytest.raises(InputError, match="--max-seconds and --all cannot be combined"):
        Wish(max_seconds=3, all=True)
    with pytest.raises(InputError, match="--budget and --speedup and --min-psnr cannot be"):
        Wish(budget="", speedup=0, min_psnr=0)


@given(st.lists(st.sampled_from([None, 20.0, 30.0, 40.0, 50.0]), min_size=10, max_size=10))
def test_a_plan_stays_unless_a_smaller_budget_is_known_to_be_as_good(
    schedule: Schedule, qualities: Sequence[float | None]
) -> None:
    quality = dict(zip(schedule.budgets, qualities, strict=True))
    made = prune(schedule, quality.get)
    assert made.provenance is not None
    known = {budget: found for budget, found in quality.items() if found is not None}
    as_good = {
        budget: [b for b in known if b < budget and known[b] >= decibels]
        for budget, decibels in known.items()
    }
    assert made.budgets == tuple(b for b in quality if not as_good.get(b))
    assert {record.budget for record in made.provenance.plans} == set(made.budgets)
    for entry in made.provenance.pruned:
        best = max(known[b] for b in as_good[entry.budget])
        assert entry.by in made.budgets
        assert known[entry.by] == best
    assert sorted([*made.budgets, *(e.budget for e in made.provenance.pruned)]) == list(quality)
    assert from_bytes(to_bytes(made)) == made


def test_validated_quality_counts_more_than_predicted(schedule: Schedule) -> None:
    assert schedule.provenance is not None
    *_, kept = prune(schedule).budgets
    poor = {"validated": Quality(psnr_latent=1.0, low=0.0, high=2.0)}
    records = tuple(
        each.model_copy(update=poor if each.budget == kept else {})
        for each in schedule.provenance.plans
    )
    provenance = schedule.provenance.model_copy(update={"plans": records})
    made = prune(schedule.model_copy(update={"provenance": provenance}))
    assert made.provenance is not None
    assert kept in {entry.budget for entry in made.provenance.pruned}
    assert kept not in made.budgets


def test_a_budget_that_is_left_out_is_told_with_the_one_to_use(schedule: Schedule) -> None:
    made = prune(schedule, {4: 40.0, 7: 39.5}.get)
    assert pruned_notes(made) == [
        "no plan for budget 7: 39.5 dB, where budget 4 has 40.0 dB; use budget 4"
    ]


def test_a_schedule_of_unknown_making_keeps_all_its_plans(schedule: Schedule) -> None:
    unknown = schedule.model_copy(update={"provenance": None})
    assert prune(unknown) == unknown
    assert pruned_notes(unknown) == []


def test_a_grid_keeps_its_shape_with_another_number_of_steps() -> None:
    for steps in (10, 28, 50, 100):
        found = resized(shifted_grid(50), steps)
        np.testing.assert_allclose(found, shifted_grid(steps), atol=1e-3)
    assert resized((0.0, 0.5, 1.0), 4) == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_without_a_wish_for_another_grid_the_profile_stays_itself(profile: Profile) -> None:
    assert on_grid(profile) is profile
    assert on_grid(profile, steps=STEPS) is profile
    assert on_grid(profile, steps=STEPS, shift=3.0).settings.transferred_from is not None
