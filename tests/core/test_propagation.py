"""Propagation is measured on the sample's own flow, for a quarter of a calibration at most."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from meancache_plan import load_profile, merge_profiles, profile_flow, save_profile
from meancache_plan.core.propagation import choose, injected, interval_error, propagation
from meancache_plan.core.trajectory import record_flow
from meancache_plan.errors import InputError, MergeError, ProfileError
from tests.fields import (
    Field,
    gaussian_mixture,
    grown,
    linear,
    mixture,
    noise,
    polynomial,
    shifted_grid,
)


@pytest.mark.parametrize("rate", [-2.0, 0.7, 1.5])
def test_on_a_linear_flow_propagation_is_eulers_own_growth(rate: float) -> None:
    sigmas = shifted_grid(20)
    profile = profile_flow(linear(torch.tensor(rate).double()), noise(12), sigmas)
    positions, samples = choose(20, 12)
    assert tuple(profile.propagation_index) == samples
    np.testing.assert_array_equal(profile.propagation_sigmas, [sigmas[s] for s in positions])
    expected = [grown(sigmas, torch.tensor(rate).double(), s).item() for s in positions]
    np.testing.assert_allclose(profile.propagation, np.tile(expected, (len(samples), 1)), rtol=1e-6)
    at = profile.propagation_by_step()[list(positions)]
    np.testing.assert_allclose(at, expected, rtol=1e-6)


def test_each_direction_of_an_error_grows_at_its_own_rate() -> None:
    sigmas, rates = shifted_grid(20), torch.linspace(-2, 1.5, 16, dtype=torch.float64)
    whole = record_flow(linear(rates), noise(1), sigmas)
    profile = profile_flow(linear(rates), noise(12), sigmas)
    for column, step in enumerate(choose(20, 12).positions):
        t, r = max(0, step - 2), max(0, step - 4)
        h, v = np.diff(sigmas)[t:step], whole.velocities
        middle = float((h * np.array(sigmas[t:step])).sum() / h.sum())
        slope = (v[t] - v[r]) / (sigmas[t] - sigmas[r]) if t else 0.0
        predicted = v[t] + (middle - sigmas[t]) * slope
        error = (sigmas[step] - sigmas[t]) * predicted - (whole.latents[step] - whole.latents[t])
        torch.testing.assert_close(injected(sigmas, whole.latents, v, step), error)
        expected = (grown(sigmas, rates, step) * error).norm() / error.norm()
        assert profile.propagation[0, column] == pytest.approx(float(expected), rel=1e-6)


def test_the_curve_is_flat_at_first_linear_in_log_between_and_one_at_the_end() -> None:
    profile = profile_flow(mixture(), noise(8), shifted_grid(50))
    curve, sigmas = profile.propagation_by_step(), np.array(profile.sigmas)
    positions, _ = choose(50, 8)
    assert (curve[: positions[0] + 1] == curve[0]).all()
    assert curve[-1] == 1
    mean = np.exp(np.log(profile.propagation).mean(axis=0))
    np.testing.assert_allclose(curve[list(positions)], mean, rtol=1e-12)
    a, b = positions[1], positions[2]
    for s in range(a, b):
        part = (sigmas[s] - sigmas[a]) / (sigmas[b] - sigmas[a])
        assert np.log(curve[s]) == pytest.approx(
            (1 - part) * np.log(curve[a]) + part * np.log(curve[b])
        )
    low, high = (profile.propagation_by_step(quantile)[list(positions)] for quantile in (0.1, 0.9))
    found = [np.quantile(np.log(profile.propagation), quantile, axis=0) for quantile in (0.1, 0.9)]
    np.testing.assert_allclose(np.log([low, high]), found, atol=1e-12)


def exact(z: Tensor, sigma: float) -> Tensor:
    return torch.full_like(z, 2.0 + 3.0 * sigma)


FLOWS: dict[str, tuple[Field, Tensor]] = {
    "an exactly predicted flow": (exact, noise(6)),
    "a flow that stands still": (lambda z, sigma: torch.zeros_like(z), noise(6)),
    "a flow that stands still at 0": (lambda z, sigma: torch.zeros_like(z), torch.zeros(6, 4)),
}


@pytest.mark.parametrize(("field", "start"), FLOWS.values(), ids=FLOWS.keys())
def test_where_prediction_is_exact_a_small_error_is_made_up(field: Field, start: Tensor) -> None:
    profile = profile_flow(field, start, shifted_grid(20))
    np.testing.assert_allclose(profile.propagation, 1.0, rtol=1e-3)


def test_an_error_that_vanishes_has_a_logarithm_and_one_that_explodes_is_refused() -> None:
    sigmas, whole = shifted_grid(10), record_flow(mixture(), noise(1), shifted_grid(10))
    run = sigmas, whole.latents, whole.velocities, [5]
    assert propagation(*run, lambda step, z: whole.latents[-1]).tolist() == [1e-9]
    with pytest.raises(InputError, match="not finite"):
        propagation(*run, lambda step, z: z * torch.inf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_put_in_stands_out_from_rounding(dtype: torch.dtype) -> None:
    sigmas = shifted_grid(50)
    whole = record_flow(gaussian_mixture(torch.randn(4, 16), 0.3), noise(1).float(), sigmas)
    latents, velocities = whole.latents.to(dtype), whole.velocities.to(dtype)
    for step in choose(50, 20).positions:
        error = injected(sigmas, latents, velocities, step)
        assert error.dtype == torch.float32
        ratio = float(error.norm() / latents[step].float().norm())
        assert ratio >= 0.999 * torch.finfo(dtype).eps ** 0.5


@given(steps=st.integers(2, 200), step=st.integers(1, 199))
def test_an_interval_error_uses_only_what_came_before(steps: int, step: int) -> None:
    if step < steps:
        form, start = interval_error(shifted_grid(steps), step)
        assert 0 <= start < step
        assert all(i < step for i in form)
        assert sum(form.values()) == pytest.approx(0, abs=1e-9)


@given(steps=st.integers(2, 200), samples=st.integers(1, 300))
def test_the_choice_costs_a_quarter_at_most_and_lies_inside(steps: int, samples: int) -> None:
    positions, numbers = choose(steps, samples)
    assert 4 * len(numbers) * sum(steps - s for s in positions) <= steps * samples
    assert all(1 <= s <= steps - 1 for s in positions)
    assert all(0 <= number < samples for number in numbers)
    assert all(a < b for values in (positions, numbers) for a, b in pairwise(values))
    assert bool(positions) == bool(numbers) == (steps * samples >= 4)


@given(steps=st.integers(2, 200), samples=st.integers(10, 300))
def test_samples_are_taken_from_all_prompts_alike(steps: int, samples: int) -> None:
    numbers = choose(steps, samples).samples
    bounds = [j * samples // len(numbers) for j in range(len(numbers) + 1)]
    for number, (first, following) in zip(numbers, pairwise(bounds), strict=True):
        assert first <= number < following


def test_it_is_part_of_the_fingerprint() -> None:
    profile = profile_flow(mixture(), noise(8), shifted_grid(10))
    other = replace(profile, propagation=profile.propagation * 2)
    assert profile.fingerprint != other.fingerprint


def test_shards_of_other_noise_levels_do_not_merge() -> None:
    profile = profile_flow(mixture(), noise(8), shifted_grid(10))
    elsewhere = replace(profile, propagation_sigmas=profile.propagation_sigmas * 0.9)
    with pytest.raises(MergeError, match="propagation_sigmas: differ"):
        merge_profiles([profile, elsewhere])


def test_a_profile_with_it_comes_back_from_its_file(tmp_path: Path) -> None:
    profile = profile_flow(mixture(), noise(8), shifted_grid(10))
    save_profile(profile, tmp_path / "p")
    found = load_profile(tmp_path / "p")
    assert found.fingerprint == profile.fingerprint
    np.testing.assert_array_equal(found.propagation_by_step(), profile.propagation_by_step())


def test_what_was_never_measured_is_refused_by_name() -> None:
    profile = profile_flow(mixture(), noise(12), shifted_grid(20))
    levels, found = profile.propagation_sigmas, profile.propagation
    off = profile.settings.model_copy(update={"propagation": False})
    assert len(found) == 1
    defects: dict[str, dict[str, Any]] = {
        r"propagation: has shape \[1, 2\]": {"propagation": found[:, :2]},
        "propagation: must be positive": {"propagation": -found},
        "propagation: must be finite": {"propagation": found * np.inf},
        "propagation: has dtype float32": {"propagation": found.astype("f4")},
        "propagation_index: names a sample": {"propagation_index": np.array([12])},
        "propagation_sigmas: must be strictly monotone": {"propagation_sigmas": levels[::-1]},
        "propagation_sigmas: measured although": {"settings": off},
        "propagation_index: measured at no noise level": {
            "propagation_sigmas": levels[:0],
            "propagation": found[:, :0],
        },
        "propagation_index: must be strictly ascending": {
            "propagation_index": np.array([3, 1]),
            "propagation": np.repeat(found, 2, axis=0),
        },
    }
    for reason, tensors in defects.items():
        with pytest.raises(ProfileError, match=reason):
            replace(profile, **tensors)


def test_a_rising_grid_is_measured_alike() -> None:
    falling = shifted_grid(20)
    rising = tuple(1 - sigma for sigma in falling)
    rate = torch.tensor(1.5).double()
    profile = profile_flow(linear(rate), noise(12), rising)
    expected = [grown(rising, rate, s).item() for s in range(21)]
    at = list(choose(20, 12).positions)
    np.testing.assert_allclose(profile.propagation_by_step()[at], np.array(expected)[at], rtol=1e-6)
    assert profile.propagation_by_step()[-1] == 1


def test_a_polynomial_flow_carries_errors_unchanged() -> None:
    field = polynomial(torch.randn(4, 16, dtype=torch.float64))
    profile = profile_flow(field, noise(6), shifted_grid(20))
    np.testing.assert_allclose(profile.propagation_by_step(), 1.0, rtol=1e-6)


@given(steps=st.integers(2, 200), samples=st.integers(1, 300))
def test_where_both_runs_are_taken_the_choice_costs_a_quarter_at_most_too(
    steps: int, samples: int
) -> None:
    positions, numbers = choose(steps, samples, runs=2)
    assert 4 * 2 * len(numbers) * sum(steps - s for s in positions) <= steps * samples
