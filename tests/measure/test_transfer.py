"""A profile carried over to another grid is nearly what calibration there would have measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from meancache_plan import load_profile, merge_profiles, profile_flow, save_profile, solve
from meancache_plan.core.columns import own_velocities
from meancache_plan.core.deviation import dense, gram, rms
from meancache_plan.core.grid import edges, shifted_sigmas
from meancache_plan.core.interpolation import velocity_weights
from meancache_plan.errors import GridError, InputError, MergeError, ProfileError
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.transfer import read_sigmas, transfer
from meancache_runtime import integrate
from meancache_runtime.binding import average, combine
from tests.fields import euler, mixture, noise, polynomial, shifted_grid

GRIDS = [((50, 3.0), (28, 3.0)), ((50, 3.0), (50, 2.0)), ((50, 3.0), (50, 4.0))]
"""(T, shift) of the calibration, and of the new grid."""


def calibrated(steps: int, shift: float) -> Profile:
    return profile_flow(mixture(), noise(6), shifted_sigmas(steps, shift))


def held_deviations(profile: Profile) -> np.ndarray:
    """rms(u − v_t) of every interval of 2 to 8 steps, averaged over the samples."""
    own = own_velocities(profile.steps)
    forms = [
        combine([(1.0, average(profile.sigmas, t, s, own)), (-1.0, own[t])])
        for t, s in edges(profile.steps, 8)
        if s - t > 1
    ]
    return rms(profile.grams, profile.numel, dense(forms, profile.steps)).mean(axis=0)


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_most_interval_deviations_are_within_1_percent_of_a_native_calibration(
    old: tuple[int, float], new: tuple[int, float]
) -> None:
    native = held_deviations(calibrated(*new))
    carried = held_deviations(transfer(calibrated(*old), shifted_sigmas(*new)))
    off = np.abs(carried / native - 1)
    assert np.median(off) < 0.01
    assert np.quantile(off, 0.9) < 0.03
    assert off.max() < 0.25


def replayed(profile: Profile, fresh: Tensor, budget: int, compensate: bool) -> float:
    """Mean −10·log₁₀ of the squared errors."""
    schedule = solve(profile, [budget], weighting="width", compensate=compensate)
    full = euler(mixture(), fresh, profile.sigmas)[0][-1]
    got = integrate(mixture(), fresh, schedule, budget=budget, on_unstable="ignore")
    return float(-10 * torch.log10((got - full).square().mean(1)).mean())


@pytest.mark.parametrize(("old", "new"), GRIDS)
@pytest.mark.parametrize("budget", [8, 10, 14])
def test_a_plan_from_it_is_within_3_decibels_of_a_native_plan(
    old: tuple[int, float], new: tuple[int, float], budget: int
) -> None:
    native = calibrated(*new)
    carried, fresh = transfer(calibrated(*old), native.sigmas), noise(16, seed=7)
    plain, own = (replayed(profile, fresh, budget, False) for profile in (carried, native))
    assert plain > own - 3
    assert replayed(carried, fresh, budget, True) > plain + 3, "gains are carried over, too"


@pytest.mark.parametrize("new", [(28, 3.0), (28, 2.0), (45, 5.0), (20, 1.5)])
def test_velocities_that_are_cubic_in_sigma_are_carried_over_exactly(
    new: tuple[int, float],
) -> None:
    field = polynomial(torch.randn(4, 16, dtype=torch.float64))
    source = profile_flow(field, noise(3), shifted_sigmas(50, 3.0))
    carried = transfer(source, shifted_sigmas(*new))
    for sample, start in zip(carried.grams, noise(3), strict=True):
        expected = gram(euler(field, start, carried.sigmas)[1])
        np.testing.assert_allclose(sample, expected, rtol=1e-10, atol=1e-10)


def test_beyond_the_measured_velocities_a_straight_line_is_exact_where_it_is_one() -> None:
    field = polynomial(torch.randn(2, 16, dtype=torch.float64))
    source = profile_flow(field, noise(2), shifted_sigmas(50, 3.0))
    carried = transfer(source, shifted_sigmas(80, 3.0))
    assert carried.sigmas[-2] < source.sigmas[-2]
    expected = gram(euler(field, noise(2)[0], carried.sigmas)[1])
    np.testing.assert_allclose(carried.grams[0], expected, rtol=1e-10, atol=1e-10)


def test_the_same_grid_gives_the_same_measurements() -> None:
    source = calibrated(20, 3.0)
    carried = transfer(source, source.sigmas)
    np.testing.assert_allclose(carried.grams, source.grams, rtol=1e-12)


@given(
    old=st.tuples(st.integers(8, 60), st.floats(1, 8)),
    new=st.tuples(st.integers(1, 60), st.floats(1, 8)),
)
def test_constant_velocities_stay_constant_and_weights_stay_moderate(
    old: tuple[int, float], new: tuple[int, float]
) -> None:
    try:
        weights = velocity_weights(shifted_sigmas(*old), shifted_sigmas(*new))
    except InputError:
        return
    assert weights.shape == (new[0], old[0])
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-9)
    assert (np.abs(weights).sum(axis=1) < 4).all()


def test_what_is_known_by_sample_or_by_sigma_is_kept_and_l1_is_not() -> None:
    source = calibrated(50, 3.0)
    carried = transfer(source, shifted_sigmas(28, 3.0))
    assert carried.steps == carried.index.max_edge == 28
    assert carried.settings.transferred_from == source.fingerprint != carried.fingerprint
    assert source.has_l1
    assert not carried.has_l1
    assert carried.l1.shape == (6, 0)
    for name in ("sample_index", "prompt_index", "seeds", "seconds", "propagation_sigmas"):
        np.testing.assert_array_equal(getattr(carried, name), getattr(source, name))
    at = np.interp(
        carried.sigmas[::-1], source.sigmas[::-1], np.log(source.propagation_by_step())[::-1]
    )
    np.testing.assert_allclose(np.log(carried.propagation_by_step()[::-1]), at, atol=0.05)
    assert carried.propagation_by_step().shape == (29,)


def test_the_longest_edge_measured_stays_the_same_part_of_the_run() -> None:
    source = calibrated(50, 3.0)
    short = source.settings.model_copy(update={"max_edge": 25})
    source = replace(source, settings=short, l1=np.zeros((6, len(short.index)), np.float32))
    assert transfer(source, shifted_sigmas(28, 3.0)).index.max_edge == 14


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    carried = transfer(calibrated(20, 3.0), shifted_sigmas(14, 3.0))
    save_profile(carried, tmp_path / "p")
    assert load_profile(tmp_path / "p").fingerprint == carried.fingerprint


def test_a_calibrated_profile_must_have_its_l1_deviations_and_another_must_not() -> None:
    source = calibrated(20, 3.0)
    with pytest.raises(ProfileError, match=r"l1: has shape \[6, 0\]"):
        replace(source, l1=np.empty((6, 0), np.float32))
    elsewhere = source.settings.model_copy(update={"transferred_from": "sha256:00"})
    with pytest.raises(ProfileError, match=r"l1: has shape .* must be \[6, 0\]"):
        replace(source, settings=elsewhere)


def test_measured_and_carried_over_profiles_do_not_merge() -> None:
    source = calibrated(20, 3.0)
    with pytest.raises(MergeError, match="transferred_from"):
        merge_profiles([source, transfer(source, source.sigmas)])


def test_noise_levels_that_were_not_measured_are_refused_by_value_and_range() -> None:
    source = calibrated(20, 3.0)
    with pytest.raises(
        InputError, match=r"noise level 0\.0\d+ is out of range: .* from 1 to 0\.13"
    ):
        transfer(source, shifted_sigmas(60, 3.0))
    late = profile_flow(mixture(), noise(2), [0.8, 0.6, 0.4, 0.0])
    with pytest.raises(InputError, match=r"noise level 1 is out of range: .* from 0\.8 to 0\.4"):
        transfer(late, [1.0, 0.5, 0.0])
    assert transfer(late, [0.9, 0.5, 0.2, 0.0]).steps == 3


def test_grids_that_cannot_be_are_refused() -> None:
    source = calibrated(20, 3.0)
    with pytest.raises(GridError, match="monotone"):
        transfer(source, [1.0, 0.5, 0.5, 0.0])
    with pytest.raises(InputError, match="the other way"):
        transfer(source, [0.0, 0.5, 1.0])
    with pytest.raises(InputError, match="itself carried over"):
        transfer(transfer(source, shifted_sigmas(14, 3.0)), source.sigmas)


def test_a_rising_grid_is_carried_over_alike() -> None:
    def turned(z: Tensor, sigma: float) -> Tensor:
        return -mixture()(z, 1 - sigma)

    def rising(steps: int) -> tuple[float, ...]:
        return tuple(1 - sigma for sigma in shifted_sigmas(steps, 3.0))

    up = transfer(profile_flow(turned, noise(2), rising(20)), rising(14))
    down = transfer(
        profile_flow(mixture(), noise(2), shifted_sigmas(20, 3.0)), shifted_sigmas(14, 3.0)
    )
    np.testing.assert_allclose(up.grams, down.grams, rtol=1e-6)
    np.testing.assert_allclose(up.propagation_by_step(), down.propagation_by_step(), rtol=1e-6)


@pytest.mark.parametrize(("steps", "shift"), [(50, 3.0), (28, 1.0), (4, 0.5)])
def test_shifted_sigmas_are_those_of_the_scheduler_as_pipelines_set_it(
    steps: int, shift: float
) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps).tolist())
    np.testing.assert_allclose(shifted_sigmas(steps, shift), scheduler.sigmas, atol=1e-6)
    assert shifted_sigmas(steps, 3.0) == pytest.approx(shifted_grid(steps))


@pytest.mark.parametrize(("steps", "shift"), [(0, 3.0), (10, 0.0), (10, -1.0), (10, np.inf)])
def test_a_shift_or_step_count_out_of_range_is_refused(steps: int, shift: float) -> None:
    with pytest.raises(InputError, match="steps, shift"):
        shifted_sigmas(steps, shift)


@pytest.mark.parametrize("text", ["1.0 0.5\n0", "[1, 0.5, 0.0]", "1,0.5,0\n"])
def test_a_grid_is_read_from_text_or_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "grid").write_text(text)
    assert read_sigmas(tmp_path / "grid") == (1.0, 0.5, 0.0)


@pytest.mark.parametrize("text", ["", "1 x 0", "[1, 0.5", "[[1], 0]", "[1, null]"])
def test_a_file_that_holds_no_grid_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "grid").write_text(text)
    with pytest.raises(InputError, match=r"grid|grid has"):
        read_sigmas(tmp_path / "grid")
    with pytest.raises(InputError, match="absent"):
        read_sigmas(tmp_path / "absent")
