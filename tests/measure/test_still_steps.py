"""Steps of no length at a run's end: all that is measured, planned and refined is as without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from meancache_plan.core.trajectory import Tape
from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal
from meancache_plan.improve.candidates import pools
from meancache_plan.improve.refine import refine
from meancache_plan.improve.trials import Trials
from meancache_plan.judge.evaluation_field import evaluation_field
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_flow import profile_flow
from meancache_plan.measure.transfer import on_grid, read_sigmas, transfer
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Grid, PlanEntry, Schedule, from_bytes, to_bytes
from meancache_runtime import integrate
from meancache_runtime.predictors import Hold
from meancache_runtime.schedule import Plan
from tests.improve.flow_ensemble import FlowEnsemble
from tests.runtime import by_hand

MOVING = tuple(by_hand.shifted(12))
GRID = (*MOVING, 0.0, 0.0)
FINER = tuple(by_hand.shifted(36))
NOISE = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def curved(latents: Tensor, sigma: float) -> Tensor:
    return torch.sin(3 * latents) * (0.2 + sigma)


def measured(sigmas: tuple[float, ...], finer: tuple[float, ...] | None = None) -> Profile:
    return profile_flow(curved, NOISE, sigmas, finer=finer)


def of_any_grid(plan: Plan, steps: int) -> Schedule:
    grid = Grid(steps=steps, sigmas=None, tolerance=0.0)
    entries = (PlanEntry.of(plan),)
    return Schedule(model=None, grid=grid, generation=None, plans=entries, provenance=None)


@pytest.mark.parametrize("finer", [None, FINER], ids=["euler", "finer"])
@pytest.mark.parametrize("planner", ["path", "pssp"])
def test_plans_are_those_without_them_and_none_has_a_knot_there(planner: Any, finer: Any) -> None:
    profile = measured(GRID, finer and (*finer, 0.0))
    whole = solve(profile, [4, 12], planner=planner)
    moving = solve(measured(MOVING, finer), [4, 12], planner=planner)
    assert [plan.plan for plan in whole.plans] == [plan.plan for plan in moving.plans]
    assert (whole.grid.steps, whole.grid.sigmas) == (14, GRID)
    assert from_bytes(to_bytes(whole)) == whole
    here, there = (
        integrate(curved, NOISE, schedule, budget=4, on_unstable="ignore")
        for schedule in (whole, moving)
    )
    assert torch.equal(here, there)


def test_there_are_no_more_budgets_than_steps_that_move() -> None:
    with pytest.raises(InputError, match="choose 1 to 12"):
        solve(measured(GRID), [13])


def test_a_profile_says_so_in_its_fingerprint_and_counts_their_refreshes() -> None:
    whole, moving = measured(GRID), measured(MOVING)
    assert whole.fingerprint != moving.fingerprint
    assert whole.refreshes == moving.refreshes + 2 * len(NOISE)


def test_a_profile_is_carried_over_to_such_a_grid_and_from_one() -> None:
    profile = measured(GRID)
    there = transfer(profile, (*MOVING[::2], 0.0))
    np.testing.assert_array_equal(there.grams, transfer(measured(MOVING), MOVING[::2]).grams)
    assert (there.steps, there.settings.run_sigmas) == (6, (*MOVING[::2], 0.0))
    assert on_grid(profile, steps=14) is profile
    assert on_grid(profile, steps=8).settings.run_sigmas[-3:] == (0, 0, 0)
    assert on_grid(profile, steps=8, shift=3.0).settings.still_steps == 0
    with pytest.raises(InputError, match="the last 2 of this model's runs move nothing"):
        on_grid(profile, steps=2)


def test_a_file_of_noise_levels_may_end_with_them(tmp_path: Any) -> None:
    file = tmp_path / "sigmas.txt"
    file.write_text("1 0.5 0 0")
    assert read_sigmas(file) == (1.0, 0.5, 0.0, 0.0)


def test_plans_are_refined_to_those_without_them() -> None:
    def refined(sigmas: tuple[float, ...]) -> Schedule:
        profile = measured(sigmas)
        return refine(profile, solve(profile, [4]), FlowEnsemble(curved, NOISE, sigmas))

    whole, moving = refined(GRID), refined(MOVING)
    assert [plan.plan for plan in whole.plans] == [plan.plan for plan in moving.plans]
    assert (whole.grid.sigmas, moving.grid.sigmas) == (GRID, MOVING)


def test_a_published_plan_competes_without_its_knots_there() -> None:
    profile, hold = measured(GRID), Plan(4, (0, 4, 8, 13), (Hold(),) * 4)
    found = pools(profile, solve(profile, [4]), {"a table": of_any_grid(hold, 14)}, 12)[4]
    [plan] = [each.plan for each in found if each.name == "a table"]
    assert plan.knots == (0, 4, 8)
    grid = solve(profile, [4]).grid.replayable()
    trials = Trials(FlowEnsemble(curved, NOISE, GRID), Journal(), lambda _: None, grid)
    assert trials.replay(plan, range(4)) == trials.replay(hold, range(4))


def test_what_a_plan_is_judged_beside_has_no_knots_there() -> None:
    schedule = solve(measured(GRID), [12])
    rivals = [each.schedule for each in evaluation_field(schedule) if each.schedule is not None]
    assert [each.plans[0].knots for each in rivals] == [tuple(range(12))] * 3


def test_a_recorded_run_is_whole_without_their_velocities_and_ends_where_they_lead() -> None:
    tape = Tape((1.0, 0.5, 0.5), torch.ones(1))
    tape.append(torch.ones(1), torch.zeros(1), ["a"], 2)
    assert tape.full
    tape.append(torch.full((1,), torch.nan), torch.full((1,), 0.25), ["b"], 1)
    found = tape.trajectory()
    assert (found.sigmas, found.still_steps) == ((1.0, 0.5), 1)
    assert (found.velocities.tolist(), found.latents[-1].tolist()) == ([[1.0]], [0.25])
    assert (found.switches, found.calls) == ((), (2, 1))
