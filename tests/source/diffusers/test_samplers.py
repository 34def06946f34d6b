"""Pipelines whose samplers take other steps than Euler's: recorded, resumed, and replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from meancache_plan import solve
from meancache_plan.core.grid import uniform_knots
from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal
from meancache_plan.improve.refine_with_pipeline import refine_on, refine_with
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.full_runs import FullRuns
from meancache_runtime import attach
from tests.counting import denoisers_called
from tests.runtime import by_hand
from tests.source.diffusers.sampled import HEUN, SOUND, TWO_DENOISERS, UNIPC, Sampled

REPLACED = {UNIPC: "UniPCMultistepScheduler", HEUN: "FlowMatchHeunDiscreteScheduler"}
every_sampler = pytest.mark.parametrize("name", REPLACED)


class Callback:
    """The latents at the end of each iteration of a pipeline's loop."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, _pipe: Any, _i: int, _t: Any, tensors: dict[str, Tensor]) -> dict[str, Any]:
        self.seen.append(tensors["latents"].clone())
        return tensors


@every_sampler
def test_recorded_latents_are_those_of_the_plain_run_one_a_noise_level(name: str) -> None:
    source, callback = Sampled(name), Callback()
    source.run("a", 0, callback_on_step_end=callback)
    levels = source.pipe.scheduler.sigmas.tolist()
    last = [i for i in range(len(levels) - 1) if levels[i] != levels[i + 1]]
    trajectory, _ = source.record("a", 0)
    assert trajectory.sigmas == tuple(levels[i] for i in [*last, -1])
    begun = [i - 1 for i in last[1:]]  # the iteration before the one that leaves a level
    expected = torch.stack([callback.seen[i] for i in [*begun, -1]])
    assert torch.equal(trajectory.latents[1:], expected)
    assert trajectory.replaces == REPLACED[name]
    assert trajectory.displaced


@every_sampler
def test_a_levels_velocity_is_the_denoisers_at_its_latents(name: str) -> None:
    source = Sampled(name)
    trajectory, _ = source.record("a", 0)
    for step in range(len(trajectory.velocities)):
        again = source.resume("a", 0, step, trajectory.latents[step], until=step + 1)
        torch.testing.assert_close(again.velocities[0], trajectory.velocities[step])


@every_sampler
def test_columns_are_the_velocities_and_the_slopes_of_the_latents(name: str) -> None:
    trajectory, _ = Sampled(name).record("a", 0)
    steps = len(trajectory.velocities)
    assert torch.equal(trajectory.columns[:steps], trajectory.velocities)
    z = trajectory.latents[0]
    for i in range(steps):
        z = z + (trajectory.sigmas[i + 1] - trajectory.sigmas[i]) * trajectory.columns[steps + i]
    torch.testing.assert_close(z, trajectory.latents[-1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(trajectory.columns[steps:], trajectory.velocities, rtol=1e-3)


@every_sampler
@pytest.mark.parametrize(("step", "until"), [(0, None), (3, None), (2, 4)])
def test_a_resumed_run_takes_eulers_steps_and_costs_only_these(
    name: str, step: int, until: int | None
) -> None:
    source = Sampled(name)
    trajectory, _ = source.record("a", 0)
    calls = denoisers_called(source.pipe)
    found = source.resume("a", 0, step, trajectory.latents[step], until)
    taken = (until or len(trajectory.velocities)) - step
    assert len(calls) == taken * source.case.branches
    assert len(found.velocities) == taken
    assert torch.equal(found.latents[0], trajectory.latents[step])
    assert not found.displaced
    found.check_euler()


@every_sampler
def test_seconds_are_those_of_a_refresh(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heun's method refreshes twice a step; the clock here ticks once a refresh."""
    source = Sampled(name)
    calls = denoisers_called(source.pipe)
    monkeypatch.setattr("time.perf_counter", lambda: float(len(calls)))
    assert source.record("a", 0)[1] == source.case.branches


def test_where_another_denoiser_takes_over_every_plan_has_a_knot(tmp_path: Path) -> None:
    source = Sampled(TWO_DENOISERS)
    calls = denoisers_called(source.pipe)
    source.run("a", 0)
    branches = source.case.branches
    ran = calls[::branches]
    [switch] = [i for i in range(1, len(ran)) if ran[i] != ran[i - 1]]
    profile = calibrate(source, ["a", "b"], [0], tmp_path / "p")
    assert profile.switches == (switch,)
    for plan in solve(profile, range(2, len(ran))).plans:
        assert switch in plan.knots
    with pytest.raises(InputError, match=f"takes over at step {switch}"):
        solve(profile, [1])


def test_a_finer_run_is_seen_on_the_replayed_grid() -> None:
    source = Sampled(UNIPC)
    own, _ = source.record("a", 0)
    fine, _ = Sampled(UNIPC, steps=48).record("a", 0)
    calls = denoisers_called(source.pipe)
    found, _ = source.record("a", 0, finer_steps=48)
    assert len(calls) == 48 * source.case.branches  # the grid was found without any
    assert found.sigmas == own.sigmas
    assert torch.equal(found.latents[0], own.latents[0])
    assert torch.equal(found.latents[-1], fine.latents[-1])
    assert found.replaces == REPLACED[UNIPC]
    for i, sigma in enumerate(own.sigmas):  # between the two nearest of the finer run
        above = max(s for s in range(49) if fine.sigmas[s] >= sigma - 1e-6)
        pair = fine.latents[above : above + 2]
        width = (pair[0] - pair[-1]).abs().max()
        assert (found.latents[i] - pair[0]).abs().max() <= 1.5 * width + 1e-5


def test_finding_the_replayed_grid_costs_one_refresh_at_most() -> None:
    source = Sampled(UNIPC)
    calls = denoisers_called(source.pipe)
    source.record("a", 0, finer_steps=12)
    assert len(calls) <= (12 + 1) * source.case.branches
    calls.clear()
    source.record("b", 0, finer_steps=12)
    assert len(calls) == 12 * source.case.branches


def test_the_denoisers_change_where_the_replayed_grid_has_it_not_the_finer_one() -> None:
    source = Sampled(TWO_DENOISERS)
    own, _ = source.record("a", 0)
    assert source.record("a", 0, finer_steps=31)[0].switches == own.switches != ()


def test_a_reference_with_fewer_steps_is_refused() -> None:
    with pytest.raises(InputError, match=r"finer_steps 4: .* choose 9 to 1000"):
        Sampled(UNIPC).record("a", 0, finer_steps=4)


def test_a_calibration_against_a_finer_run_says_so_and_is_not_mixed_with_another(
    tmp_path: Path,
) -> None:
    source = Sampled(UNIPC)
    profile = calibrate(source, ["a"], [0], tmp_path / "p", Measuring(finer_steps=16))
    assert profile.settings.finer_steps == 16
    assert profile.settings.replaces == REPLACED[UNIPC]
    with pytest.raises(InputError, match=r"its finer_steps \(16 there, None here\)"):
        calibrate(source, ["a"], [0], tmp_path / "p")


def test_latents_that_are_edited_between_such_steps_are_refused() -> None:
    source = Sampled(UNIPC)

    def edit(_pipe: Any, _i: int, _t: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"latents": tensors["latents"] + 1}

    run = source.run
    source.run = lambda *a, **k: run(*a, **k, callback_on_step_end=edit)  # type: ignore[method-assign]
    with pytest.raises(InputError, match="edits them"):
        source.record("a", 0)


def test_two_states_are_recorded_joined_and_resumed_apart() -> None:
    source = Sampled(SOUND)
    output = source.run("a", 0)
    video, sound = (tensor.flatten(1) for tensor in _tensors(output))
    trajectory, _ = source.record("a", 0)
    steps = len(trajectory.velocities)
    assert trajectory.latents.shape == (steps + 1, 1, video.shape[1] + sound.shape[1])
    ends = torch.cat([video, sound], dim=1).sort().values
    torch.testing.assert_close(trajectory.latents[-1].sort().values, ends)
    trajectory.check_euler()
    calls = denoisers_called(source.pipe)
    for step in (0, 3, steps - 1):
        calls.clear()
        rest = source.resume("a", 0, step, trajectory.latents[step])
        assert torch.equal(rest.latents, trajectory.latents[step:])
        assert torch.equal(rest.velocities, trajectory.velocities[step:])
        assert len(calls) == (steps - step) * source.case.branches
    calls.clear()
    part = source.resume("a", 0, 2, trajectory.latents[2], until=4)
    assert torch.equal(part.velocities, trajectory.velocities[2:4])
    assert len(calls) == 2 * source.case.branches
    moved = source.resume("a", 0, 3, trajectory.latents[3] + 1)
    assert torch.equal(moved.latents[0], trajectory.latents[3] + 1)


def _tensors(output: Any) -> list[Tensor]:
    return [value for value in output.values() if isinstance(value, Tensor)]


def test_joined_latents_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="latents have shape"):
        Sampled(SOUND).resume("a", 0, 2, torch.zeros(1, 7))


def test_refined_plans_replace_unipc_and_come_nearer_to_it_than_even_holding(
    tmp_path: Path,
) -> None:
    prompts = ("a", "b", "c", "d")
    (tmp_path / "prompts.txt").write_text("\n".join(prompts), encoding="utf-8")
    source = Sampled(UNIPC, prompts=str(tmp_path / "prompts.txt"), seeds="0")
    profile = calibrate(source, prompts, [0], tmp_path / "p")
    schedule = refine_with(source, profile, solve(profile, [3]), tmp_path / "s.json")
    assert schedule.grid.replaces == REPLACED[UNIPC]
    replayable, steps = schedule.replayable(), profile.steps
    even = by_hand.schedule(steps, uniform_knots(steps, 3), sigmas=profile.sigmas)
    even = type(even)(even.model, replayable.grid, even.plans)
    held_out = ["owl", "fox", "cup"]
    full = torch.cat([source.final_latents([text], [0]) for text in held_out])
    errors = []
    for each in (replayable, even):
        with attach(source.pipe, each, budget=3):
            found = torch.cat([source.final_latents([text], [0]) for text in held_out])
        errors.append(float((found - full).square().mean()))
    assert 0 < errors[0] < errors[1]


def test_refinement_aims_at_the_finer_run_that_the_profile_is_of() -> None:
    source, journal = Sampled(UNIPC), Journal()
    fine, _ = source.record("a", 0, finer_steps=16)
    made = PipelineEnsemble(source, ["a"], [0], journal, finer_steps=16)
    assert torch.equal(made.full([0], 3), fine.latents[3])
    assert torch.equal(made.full([0], len(made.sigmas) - 1), fine.latents[-1])
    plain = PipelineEnsemble(source, ["a"], [0], journal)
    assert torch.equal(plain.full([0], 3), source.record("a", 0)[0].latents[3])


@pytest.mark.parametrize("given", [False, True])
def test_refining_for_two_things_sampled_at_once_is_refused(given: bool) -> None:
    source, known = Sampled(SOUND), FullRuns(Journal(), {})
    if given:
        run, _ = source.record("a", 0)
        known.keep("a", 0, run.sigmas, run.latents)
    with pytest.raises(InputError, match="two things at once"):
        PipelineEnsemble(source, ["a"], [0], Journal(), known=known if given else None)


@pytest.mark.parametrize("name", [UNIPC, TWO_DENOISERS, HEUN])
def test_full_runs_that_calibration_kept_refine_to_the_same_plans(
    name: str, tmp_path: Path
) -> None:
    source, prompts, runs = Sampled(name), ("a", "b"), tmp_path / "runs"
    profile = calibrate(source, prompts, [0], tmp_path / "p", runs=runs)
    schedule, path = solve(profile, [3]), tmp_path / "s.json"
    found, wanted = (
        refine_on(source, profile, schedule, prompts, [0], path, runs=each) for each in (runs, None)
    )
    assert found.plans == wanted.plans


def test_propagation_is_that_of_the_steps_that_replay_takes(tmp_path: Path) -> None:
    source = Sampled(UNIPC)
    profile = calibrate(source, [*"abcdefgh"], [0], tmp_path / "p")
    assert profile.has_propagation
    prompt = "abcdefgh"[profile.propagation_index[0]]
    whole, _ = source.record(prompt, 0)
    step = profile.sigmas.index(profile.propagation_sigmas[-1])
    error = torch.randn(whole.latents[step].shape) * 1e-3
    ends = [
        source.resume(prompt, 0, step, whole.latents[step] + by).latents[-1] for by in (0.0, error)
    ]
    grown = float((ends[1] - ends[0]).norm() / error.norm())
    assert np.log(profile.propagation[0, -1]) == pytest.approx(np.log(grown), abs=0.5)
