"""Propagation is measured while calibrating: divided, interrupted, or switched off."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import FluxPipeline

from meancache_plan import merge_profiles, profile_flow, save_profile
from meancache_plan.core.propagation import choose, injected
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.measure.shards import Shard
from meancache_plan.source.recipe import Recipe
from tests.counting import count_calls
from tests.fields import mixture, noise, shifted_grid
from tests.measure.sources import Resuming
from tests.tiny import SIDE, TEXT_LENGTH

PROMPTS = ("a cat", "a dog", "an owl")
STEPS = 8


def source(pipe: FluxPipeline) -> Resuming:
    call = {"max_sequence_length": TEXT_LENGTH}
    recipe = Recipe(
        model="tiny", steps=STEPS, height=SIDE, width=SIDE, dtype="float32", guidance=1.0, call=call
    )
    return Resuming(pipe, recipe, "tiny")


def test_the_denoiser_runs_a_quarter_more_often_at_most(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    calls = count_calls(tiny_flux.transformer)
    profile = calibrate(source(tiny_flux), PROMPTS, (0, 1), tmp_path / "with")
    positions, samples = choose(STEPS, 6)
    assert len(calls) == 6 * STEPS + len(samples) * sum(STEPS - s for s in positions)
    assert 6 * STEPS < len(calls) <= 6 * STEPS * 5 // 4
    assert profile.has_propagation
    assert profile.propagation.shape == (len(samples), len(positions))


def test_the_measured_propagation_is_that_of_runs_made_by_hand(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    profile = calibrate(source(tiny_flux), PROMPTS, (0, 1), tmp_path / "p")
    positions, samples = choose(STEPS, 6)
    for row, number in enumerate(samples):
        prompt, seed = PROMPTS[number // 2], number % 2
        whole, _ = source(tiny_flux).record(prompt, seed)
        for column, step in enumerate(positions):
            error = injected(whole.sigmas, whole.latents, whole.velocities, step)
            rest = source(tiny_flux).resume(prompt, seed, step, whole.latents[step] + error)
            off = (rest.latents[-1] - whole.latents[-1]).norm() / error.norm()
            assert profile.propagation[row, column] == pytest.approx(float(off), rel=1e-3)


def test_switched_off_it_costs_nothing_and_says_how_to_have_it(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    without = source(tiny_flux)
    profile = calibrate(
        without, PROMPTS, (0, 1), tmp_path / "without", Measuring(propagation=False)
    )
    assert without.resumed == 0
    assert not profile.has_propagation
    assert (profile.propagation_sigmas.size, profile.propagation.shape) == (0, (0, 0))
    with pytest.raises(InputError, match="calibrate with propagation"):
        profile.propagation_by_step()
    with pytest.raises(InputError, match=r"its propagation \(False there, True here\)"):
        calibrate(source(tiny_flux), PROMPTS, (0, 1), tmp_path / "without")
    flow = profile_flow(mixture(), noise(4), shifted_grid(10), propagation=False)
    assert not flow.has_propagation


def test_shards_merge_into_the_whole_bit_for_bit(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    whole = calibrate(source(tiny_flux), PROMPTS, range(6), tmp_path / "whole")
    assert len(whole.propagation_index) > 1
    parts = [
        calibrate(source(tiny_flux), PROMPTS, range(6), tmp_path / f"{i}", shard=Shard(i, 5))
        for i in range(1, 6)
    ]
    assert {part.has_propagation for part in parts} == {True, False}
    merged = merge_profiles(parts[::-1])
    assert merged.fingerprint == whole.fingerprint
    save_profile(merged, tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()


def test_interrupted_while_measuring_it_goes_on_to_the_same_bytes(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    calibrate(source(tiny_flux), PROMPTS, range(6), tmp_path / "whole")
    for steps in (0, 1, 18):
        first = source(tiny_flux)
        first.stop_after = steps
        with pytest.raises(KeyboardInterrupt):
            calibrate(first, PROMPTS, range(6), tmp_path / f"{steps}")
        second = source(tiny_flux)
        calibrate(second, PROMPTS, range(6), tmp_path / f"{steps}")
        assert first.recorded + second.recorded == 18 + 1
        assert (tmp_path / f"{steps}").read_bytes() == (tmp_path / "whole").read_bytes()
