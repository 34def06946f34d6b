"""Where there is little to gain, and what making a schedule cost, is said in words."""

from __future__ import annotations

import pytest
import torch

from meancache_plan import profile_flow, solve
from meancache_plan.core.psnr import CEILING
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import Quality
from meancache_plan.show.payoff import cliff, cliff_note, effort_note, few_steps_note, payoff_notes


class Counted:
    """A flow that counts how many samples its velocity was asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, latents: torch.Tensor, sigma: float) -> torch.Tensor:
        self.calls += len(latents)
        return torch.sin(3 * latents) * (1 + sigma)


def profiled(steps: int, flow: Counted | None = None, finer: int | None = None) -> Profile:
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    grid = [1 - i / steps for i in range(steps + 1)]
    fine = None if finer is None else [1 - i / finer for i in range(finer + 1)]
    return profile_flow(flow or Counted(), noise, grid, finer=fine)


def rated(figures: dict[int, float]) -> Schedule:
    """A schedule whose plans were validated with these figures, in dB."""
    schedule = solve(profiled(12), list(figures))
    made = schedule.provenance
    assert made is not None
    records = tuple(
        record.model_copy(
            update={
                "validated": Quality(
                    psnr_latent=figures[record.budget],
                    low=figures[record.budget],
                    high=figures[record.budget],
                )
            }
        )
        for record in made.plans
    )
    return schedule.model_copy(update={"provenance": made.model_copy(update={"plans": records})})


@pytest.mark.parametrize("finer", [None, 40])
def test_a_profile_knows_the_refreshes_that_it_took(finer: int | None) -> None:
    flow = Counted()
    profile = profiled(20, flow, finer)
    assert profile.has_propagation
    assert profile.refreshes == flow.calls


def test_a_run_of_few_steps_has_little_to_gain_and_a_long_one_is_not_said_to() -> None:
    note = few_steps_note(solve(profiled(8), [4]))
    assert note is not None
    assert note.startswith("8 steps leave caching little to gain")
    assert few_steps_note(solve(profiled(9), [4])) is None


@pytest.mark.parametrize(
    ("figures", "edge"),
    [
        ({3: 10.0, 4: 20.0, 6: 24.0}, 4),
        ({3: 10.0, 4: 20.0, 5: 30.0, 6: 31.0}, 5),
        ({3: 10.0, 4: 12.0, 6: 18.0}, None),
        ({3: 10.0, 4: 12.0, 11: 60.0}, None),  # near all steps every plan becomes exact
        ({4: 20.0}, None),
        ({3: 10.0, 4: CEILING}, None),
    ],
)
def test_a_cliff_is_where_each_refresh_less_costs_more_than_three_decibels(
    figures: dict[int, float], edge: int | None
) -> None:
    assert cliff(rated(figures)) == edge


def test_the_cliff_is_told_with_the_figures_on_both_sides() -> None:
    assert cliff_note(rated({3: 10.0, 4: 20.0, 6: 24.0})) == (
        "below budget 4 quality falls by more than 3 dB a refresh: 20.0 dB there, 10.0 dB at "
        "budget 3; take 4 or more"
    )


def test_what_making_took_is_earned_back_after_so_many_samples() -> None:
    schedule = solve(profiled(12), [4, 6])
    made = schedule.provenance
    assert made is not None
    assert made.effort is not None
    spent = made.effort.model_copy(update={"calibration": 1600, "refinement": 0})
    told = made.model_copy(update={"effort": spent})
    assert effort_note(schedule.model_copy(update={"provenance": told})) == (
        "calibration took 1,600 runs of the denoiser; earned back after 200 samples at budget 4 "
        "or 267 samples at budget 6"
    )
    spent = spent.model_copy(update={"refinement": 800})
    told = made.model_copy(update={"effort": spent})
    assert effort_note(schedule.model_copy(update={"provenance": told}), 1.5) == (
        "calibration took 1,600 runs of the denoiser, refinement 800 (1 h where it was "
        "calibrated); earned back after 300 samples at budget 4 or 400 samples at budget 6"
    )


def test_nothing_is_said_of_what_is_not_known() -> None:
    schedule = solve(profiled(12), [4])
    assert payoff_notes(schedule.model_copy(update={"provenance": None})) == []
