"""Refinement as a run: interrupted, refused, told of, and on what is barely a flow."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from meancache_plan.core.grid import uniform_knots
from meancache_plan.core.innovation import bounds
from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal
from meancache_plan.improve.closed_loop import fit
from meancache_plan.improve.refine import refine
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.plan.solve import bounded, solve
from meancache_plan.schedule.artifact import Schedule, from_bytes, to_bytes
from meancache_plan.schedule.provenance import PlanRecord
from meancache_runtime import Replay
from meancache_runtime.binding import bind
from meancache_runtime.predictors import Adams
from meancache_runtime.schedule import Plan
from tests.fields import mixture, noise, polynomial, profile_of, shifted_grid
from tests.improve.flow_ensemble import FlowEnsemble
from tests.improve.refinement import SAMPLES, Case, Samples, case, nan, spoiled


@pytest.fixture(scope="module")
def flow() -> Case:
    return case(8, (2, 3))


def test_an_interrupted_refinement_goes_on_and_ends_on_the_same_bytes(
    flow: Case, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "schedule.json.unfinished")

    def interrupt(spent: int, expected: int) -> None:
        if spent > expected / 2:
            raise KeyboardInterrupt

    whole, first, second, third = (Samples(flow) for _ in range(4))
    wanted = refine(flow.profile, flow.schedule, whole)
    with pytest.raises(KeyboardInterrupt):
        refine(flow.profile, flow.schedule, first, journal, progress=interrupt)
    found = refine(flow.profile, flow.schedule, second, journal)
    assert to_bytes(found) == to_bytes(wanted)
    assert 0 < second.asked < whole.asked
    assert first.asked + second.asked == whole.asked
    assert to_bytes(refine(flow.profile, flow.schedule, third, journal)) == to_bytes(wanted)
    assert third.asked == 0


def test_progress_rises_to_what_was_expected_and_not_beyond(flow: Case) -> None:
    told: list[tuple[int, int]] = []
    refine(
        flow.profile,
        flow.schedule,
        Samples(flow),
        progress=lambda spent, expected: told.append((spent, expected)),
    )
    spent, expected = zip(*told, strict=True)
    assert list(spent) == sorted(spent)
    assert set(expected) == {spent[-1]}
    assert spent[-2] > 0.5 * spent[-1]


def test_progress_keeps_to_what_was_expected_with_the_fewest_samples(flow: Case) -> None:
    told: list[tuple[int, int]] = []
    refine(
        flow.profile,
        flow.schedule,
        FlowEnsemble(mixture(), flow.start[:2], flow.profile.sigmas),
        progress=lambda spent, expected: told.append((spent, expected)),
    )
    assert all(spent <= expected for spent, expected in told)


def test_what_is_expected_is_nearly_what_it_takes() -> None:
    flow, told = case(24, (8,)), set[int]()
    samples = Samples(flow)
    refine(flow.profile, flow.schedule, samples, progress=lambda _, expected: told.add(expected))
    [expected] = told
    assert 0.85 < samples.refreshes / expected < 1.05


@pytest.mark.parametrize("states", [0, 24, 48, 80, 2**20])
def test_the_refreshes_that_it_took_are_noted_and_add_up(
    flow: Case, states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = states * 2 * flow.start[0].numel() * flow.start.element_size()
    monkeypatch.setattr("meancache_plan.improve.trials.HELD", held)
    samples = Samples(flow)
    once = refine(flow.profile, flow.schedule, samples)
    taken = samples.refreshes + SAMPLES * flow.profile.steps
    again = refine(flow.profile, once, samples)
    efforts = [s.provenance.effort for s in (flow.schedule, once, again) if s.provenance]
    assert [None if effort is None else effort.refinement for effort in efforts] == [
        0,
        taken,
        samples.refreshes + 2 * SAMPLES * flow.profile.steps,
    ]


def test_the_bounds_are_of_replays_with_gains_that_were_fitted_on_other_prompts(flow: Case) -> None:
    refined = refine(flow.profile, flow.schedule, Samples(flow))
    fitted = [row for row in range(SAMPLES) if row not in flow.judged]
    for plan in refined.replayable().plans:
        assert plan.innovation is not None
        assert refined.provenance is not None
        record = refined.provenance.record(plan.budget)
        assert record is not None
        assert record.innovation is not None
        assert record.origin.startswith(("closed loop", "joint fit"))
        seen = [_innovations(flow, plan, row) for row in flow.judged]
        crossed = _fitted_on_the_others(flow, plan)
        seen += [_innovations(flow, crossed, row) for row in fitted]
        largest = np.max(seen, axis=0)
        assert (record.innovation.samples, record.innovation.replayed) == (SAMPLES, True)
        assert record.innovation.largest == pytest.approx(largest)
        assert record.innovation.median == pytest.approx(np.median(seen, axis=0))
        factors = np.array(plan.innovation) / largest
        assert factors == pytest.approx(factors[0])
        assert factors[0] >= 1


def test_a_sample_whose_replay_overflows_has_no_part_in_the_bounds() -> None:
    found = np.array([[0.1, 0.2], [np.nan, np.inf], [0.3, 0.1]])
    plan, told = bounded(adams_plan((0, 2, 4)), found, np.arange(3), replayed=True)
    assert (told.samples, told.largest) == (2, (0.3, 0.2))
    assert plan.innovation == bounds(found[[0, 2]], np.array([0, 2]))


def _fitted_on_the_others(flow: Case, plan: Plan) -> Plan:
    """The plan's knots, with gains fitted on those samples that judged it."""
    prior = [(1.0,), *[(1.0, 1.0)] * (len(plan.knots) - 1)]
    gains = fit(Samples(flow), flow.judged, plan.knots, prior, order=3, shrinkage=0.1).gains
    return replace(plan, intervals=tuple(map(Adams, gains)))


def _innovations(flow: Case, plan: Plan, row: int) -> list[float]:
    """Those of one sample's replay, as the runtime's machine finds them knot by knot."""
    found: list[float] = []
    for knot in range(1, len(plan.knots)):
        limits = tuple(1.0 if k == knot else 1e9 for k in range(1, len(plan.knots)))
        machine = Replay(bind(replace(plan, innovation=limits), flow.profile.sigmas))
        latents = flow.start[[row]]
        for sigma, following in pairwise(flow.profile.sigmas):
            fresh = mixture()(latents, sigma)
            latents = latents + (following - sigma) * machine.advance(fresh)
        found.append(machine.innovations.worst)
    return found


def test_a_schedule_of_another_profile_is_refused(flow: Case) -> None:
    other = case(8, (2,)).schedule.provenance
    assert other is not None
    elsewhere = other.model_copy(update={"profile": "sha256:00"})
    for provenance in (None, elsewhere):
        stranger = flow.schedule.model_copy(update={"provenance": provenance})
        with pytest.raises(InputError, match="not solved from this profile: solve again"):
            refine(flow.profile, stranger, Samples(flow))


@pytest.mark.parametrize(("steps", "shift"), [(7, 3.0), (9, 3.0), (8, 2.5)])
def test_a_model_on_another_grid_is_refused(flow: Case, steps: int, shift: float) -> None:
    ensemble = FlowEnsemble(mixture(), noise(4), shifted_grid(steps, shift))
    with pytest.raises(InputError, match="noise levels are not the profile's"):
        refine(flow.profile, flow.schedule, ensemble)


def test_one_prompt_is_refused_however_many_samples(flow: Case) -> None:
    ensemble = FlowEnsemble(mixture(), noise(4), shifted_grid(8), prompt_index=[0] * 4)
    with pytest.raises(InputError, match="refine with more calibration prompts"):
        refine(flow.profile, flow.schedule, ensemble)


def test_a_budget_at_which_fewer_steps_win_is_pruned_and_said_so(flow: Case) -> None:
    found = refine(flow.profile, flow.schedule, Samples(flow, spoiled(2, 1.0)))
    assert found.provenance is not None
    assert found.budgets == (3,)
    assert [entry.budget for entry in found.provenance.plans] == [3]
    [pruned] = found.provenance.pruned
    fewer = np.mean(flow.of_fewer_steps(2))
    assert (pruned.budget, pruned.by) == (2, 2)
    assert pruned.reason.startswith(f"2 plain steps are better: {fewer:.1f} dB against ")
    assert from_bytes(to_bytes(found)) == found


def test_if_fewer_steps_win_everywhere_there_is_no_schedule(flow: Case) -> None:
    with pytest.raises(InputError, match="no plan beats simply fewer steps at any budget"):
        refine(flow.profile, flow.schedule, Samples(flow, nan))


def only(schedule: Schedule) -> PlanRecord:
    assert schedule.provenance is not None
    [found] = schedule.provenance.plans
    return found


def test_a_replay_that_overflows_comes_last_and_breaks_nothing() -> None:
    flow = case(8, (3,))

    def overflow(plan: Plan, latents: Tensor) -> Tensor:
        return nan(plan, latents) if plan.knots == uniform_knots(8, 3) else latents

    found = refine(flow.profile, flow.schedule, Samples(flow, overflow))
    scores = only(found).candidates
    lost = [s for s in scores if s.psnr_latent < -100]
    assert found.plans[0].knots != uniform_knots(8, 3)
    assert {s.name for s in lost} >= {"uniform hold", "uniform adams"}
    assert max(s.samples for s in lost) < len(flow.judged)
    assert from_bytes(to_bytes(found)) == found


def test_one_sample_that_overflows_costs_a_plan_its_lead() -> None:
    flow = case(8, (3,))
    best = refine(flow.profile, flow.schedule, Samples(flow))

    def overflow(plan: Plan, latents: Tensor) -> Tensor:
        found = latents.clone()
        found[-1] = torch.nan if plan.knots == best.plans[0].knots else found[-1]
        return found

    found = refine(flow.profile, flow.schedule, Samples(flow, overflow))
    assert found.plans[0].knots != best.plans[0].knots


def test_a_budget_of_all_steps_is_the_full_run() -> None:
    flow = case(6, (6,))
    entry = only(refine(flow.profile, flow.schedule, Samples(flow)))
    assert entry.validated is not None
    assert entry.validated.psnr_latent == 120.0


def test_a_single_refresh_gets_a_gain_of_its_own() -> None:
    flow = case(8, (1,))
    entry = only(found := refine(flow.profile, flow.schedule, Samples(flow)))
    assert found.plans[0].knots == (0,)
    assert entry.validated is not None
    assert entry.validated.psnr_latent > np.mean(flow.of_fewer_steps(1))


def test_a_grid_of_two_steps_is_enough() -> None:
    flow = case(2, (1, 2))
    found = refine(flow.profile, flow.schedule, Samples(flow))
    assert [plan.knots for plan in found.plans] == [(0,), (0, 1)]


def test_runs_that_all_end_on_one_value_cannot_be_judged() -> None:
    sigmas = shifted_grid(4)
    field, start = polynomial(torch.zeros(1, 16, dtype=torch.float64)), 0 * noise(SAMPLES)
    profile = profile_of([torch.ones(4, 16, dtype=torch.float64)] * 4, sigmas)
    ensemble = FlowEnsemble(field, start, sigmas)
    with pytest.raises(InputError, match="constant or not finite"):
        refine(profile, solve(profile, [2]), ensemble)
