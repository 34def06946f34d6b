"""``solve`` with compensated gains: better in replay, refused where there are no gains to fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from meancache_plan import profile_flow, solve
from meancache_plan.core.compensated_gains import compensate_gains
from meancache_plan.core.predictors import ADAMS, PREDICTORS
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.compensate import compensated, terms_to_compensate
from meancache_plan.plan.plan_budgets import Planned
from meancache_plan.plan.predict import growth_by_step
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.schedule.artifact import Schedule, from_bytes, to_bytes
from meancache_runtime import integrate
from meancache_runtime.predictors import Adams
from tests.fields import euler, mixture, noise, shifted_grid
from tests.trajectories import with_propagation

T, BUDGETS = 24, (4, 6, 8)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_flow(mixture(), noise(24), shifted_grid(T))


def decibels(schedule: Schedule, budget: int, wanted: torch.Tensor, z: torch.Tensor) -> float:
    """Mean −10·log₁₀ of the squared errors of fresh samples' replays."""
    found = integrate(mixture(), z, schedule.replayable(), budget=budget, on_unstable="ignore")
    return float(-10 * (found - wanted).square().mean(dim=1).log10().mean())


def test_fresh_samples_end_nearer_to_their_full_runs_at_every_budget(profile: Profile) -> None:
    z = noise(64, seed=9)
    wanted = euler(mixture(), z, shifted_grid(T))[0][-1]
    plain, better = (solve(profile, BUDGETS, compensate=each) for each in (False, True))
    for budget in BUDGETS:
        gained = decibels(better, budget, wanted, z) - decibels(plain, budget, wanted, z)
        assert gained > 1.0


def test_plans_for_a_finer_run_come_nearer_to_it_too() -> None:
    finer = shifted_grid(10 * T)
    profile = profile_flow(mixture(), noise(24), shifted_grid(T), finer=finer)
    z = noise(64, seed=9)
    wanted = euler(mixture(), z, finer)[0][-1]
    plain, better = (solve(profile, [6], compensate=each) for each in (False, True))
    assert decibels(better, 6, wanted, z) > decibels(plain, 6, wanted, z) + 0.5


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, True),
        ({"planner": "pssp", "gamma": 2.0, "weighting": "width"}, True),
        ({"predictors": ["adams"]}, False),
        ({"predictors": ["fitted"], "order": 3}, False),
        ({"planner": "pssp", "predictors": ["hold", "jvp"], "weighting": "none"}, False),
    ],
)
def test_plans_are_compensated_unless_predictors_are_chosen(
    profile: Profile, choices: dict[str, Any], expected: bool
) -> None:
    made = solve(profile, BUDGETS, **choices)
    assert made == solve(profile, BUDGETS, compensate=expected, **choices)
    assert (made.calibrated.plans[0].origin.endswith(", compensated")) == expected  # type: ignore[union-attr]


def test_an_order_alone_is_of_gains_in_open_loop_where_fitted_is_the_default() -> None:
    finer = shifted_grid(10 * T)
    profile = profile_flow(mixture(), noise(8), shifted_grid(T), finer=finer)
    made = solve(profile, [6], order=3)
    assert made == solve(profile, [6], predictors=["fitted"], order=3)
    assert made != solve(profile, [6])


def test_knots_stay_and_the_record_tells_of_the_fit(profile: Profile) -> None:
    plain, better = (solve(profile, BUDGETS, compensate=each) for each in (False, True))
    assert better.provenance is not None
    for before, after in zip(plain.plans, better.plans, strict=True):
        found = compensate_gains(profile, before.plan.knots, growth_by_step(profile))
        assert after.plan.knots == before.plan.knots
        assert [each.gains for each in after.plan.intervals] == [*found.gains]  # type: ignore[union-attr]
        record = better.provenance.record(after.budget)
        assert record is not None
        assert record.fit is not None
        assert record.fit.fitted == pytest.approx(found.fitted)
        assert record.origin.endswith(", compensated")
    assert from_bytes(to_bytes(better)) == better


def test_errors_are_taken_to_grow_as_was_measured() -> None:
    profile = profile_flow(mixture(), noise(8), shifted_grid(T), propagation=False)
    growing = with_propagation(profile)
    assert growth_by_step(profile) == pytest.approx(np.ones(T + 1))
    assert growth_by_step(growing)[0] > 2
    plain, grown = (
        solve(each, [6], compensate=True, weighting="width") for each in (profile, growing)
    )
    [before], [after] = plain.plans, grown.plans
    assert before.plan.knots == after.plan.knots
    assert before.plan.intervals[0] == after.plan.intervals[0], "nothing is missed before it"
    assert before.plan.intervals[1] != after.plan.intervals[1]


def test_a_budget_that_keeps_the_sampler_stays_as_it_is() -> None:
    profile = profile_flow(mixture(), noise(4), shifted_grid(8), finer=shifted_grid(80))
    update = {"replaces": "UniPCMultistepScheduler", "finer_steps": None}
    replacing = replace(profile, settings=profile.settings.model_copy(update=update))
    assert replacing.keeps_sampler(8)
    plain, better = (solve(replacing, [8], compensate=each) for each in (False, True))
    assert better == plain


@pytest.mark.parametrize(
    "predictors", [("hold",), ("hold", "jvp"), ("adams", "jvp"), ("released",)]
)
def test_predictors_without_gains_are_refused(
    profile: Profile, predictors: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=r"compensate: no gains can be fitted of .*: choose adams"):
        solve(
            profile,
            [6],
            compensate=True,
            planner="pssp",
            predictors=predictors,
            weighting="none",
        )


def test_all_of_eulers_steps_stay_as_they_are(profile: Profile) -> None:
    plain, better = (solve(profile, [T], compensate=each) for each in (False, True))
    assert better == plain


def test_all_steps_are_fitted_where_they_are_not_eulers() -> None:
    finer = shifted_grid(10 * T)
    profile = profile_flow(mixture(), noise(8), shifted_grid(T), finer=finer)
    plain, better = (solve(profile, [T], compensate=each) for each in (False, True))
    assert better.plans[0].plan.knots == plain.plans[0].plan.knots == (*range(T),)
    assert better.plans[0].plan.intervals != plain.plans[0].plan.intervals


def test_gains_are_of_the_terms_that_the_predictor_has(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ADAMS._replace(name="own", most=2, scaled=lambda gains: Adams((*gains, 0.0)))
    monkeypatch.setitem(PREDICTORS, "own", replace(PREDICTORS["adams"], terms=own))
    assert terms_to_compensate(["hold", "own"]) is own
    plan = adams_plan((0, 5, 12))
    found = compensated(profile, Planned(plan, 0.0), own).plan.intervals
    gains = compensate_gains(profile, plan.knots, growth_by_step(profile), own).gains
    assert found == tuple(Adams((*each, 0.0)) for each in gains)
    with pytest.raises(InputError, match="no gains can be fitted of adams and own"):
        terms_to_compensate(["adams", "own"])


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"compensate": "yes"}, "compensate is 'yes': give True or False"),
        ({"compensate": True, "predictors": ["fitted"], "order": 4}, "order 4: .* leave order"),
        ({"compensate": True, "predictors": ["fitted"], "order": 1}, "order 1: .* leave order"),
        ({"compensate": True, "order": 3}, "order 3: compensated .* leave order"),
    ],
)
def test_what_it_does_not_take_is_refused(
    profile: Profile, choices: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        solve(profile, [6], **choices)


def test_with_hold_the_gains_are_of_the_other_rule(profile: Profile) -> None:
    schedule = solve(profile, [6], compensate=True, predictors=("hold", "adams"))
    assert all(isinstance(each, Adams) for each in schedule.plans[0].plan.intervals)
