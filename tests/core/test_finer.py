"""Plans that reproduce a finer run on the replayed grid: profiles, predictions, other grids."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from meancache_plan import profile_flow, solve
from meancache_plan.core.finer_run import record_finer
from meancache_plan.core.propagation import choose, injected
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.transfer import transfer
from meancache_plan.plan.predict import predict
from meancache_runtime import integrate
from meancache_runtime.predictors import Hold
from meancache_runtime.schedule import Plan
from tests.fields import euler, grown, linear, mixture, noise, shifted_grid

T = 8


@pytest.fixture(scope="module")
def finer() -> Profile:
    """A profile of the mixture's flow that aims at a run of ten times the steps."""
    return profile_flow(mixture(), noise(8), shifted_grid(T), finer=shifted_grid(10 * T))


def test_a_prediction_sees_what_eulers_own_steps_miss(finer: Profile) -> None:
    held = Plan(T, tuple(range(T)), (Hold(),) * T)
    latents = euler(mixture(), noise(8), finer.sigmas)[0][-1]
    full = euler(mixture(), noise(8), shifted_grid(10 * T))[0][-1]
    squares = (latents - full).square().mean(dim=1)
    measured = float((10 * torch.log10(finer.latent_range**2 / squares)).mean())
    found = predict(finer, held)
    assert found.low < measured < found.high


def test_a_plan_made_for_the_finer_run_ends_nearer_to_the_exact_sample() -> None:
    """The same steps and budget."""
    start, sigmas = noise(24, seed=9), shifted_grid(20)
    exact = euler(mixture(), start, shifted_grid(4000))[0][-1]
    coarse = profile_flow(mixture(), noise(24), sigmas)
    fine = profile_flow(mixture(), noise(24), sigmas, finer=shifted_grid(400))
    for budget, compensate in product((8, 10, 20), (False, True)):
        own, other = (
            (integrate(mixture(), start, made, budget=budget) - exact).square().mean(dim=1)
            for made in (solve(each, [budget], compensate=compensate) for each in (fine, coarse))
        )
        assert float((10 * torch.log10(other / own)).mean()) > 8


def test_on_its_own_grid_a_transferred_profile_keeps_its_numbers(finer: Profile) -> None:
    found = transfer(finer, finer.sigmas)
    np.testing.assert_allclose(found.grams, finer.grams, rtol=1e-9, atol=1e-9)


def test_a_transferred_profile_is_close_to_one_measured_there() -> None:
    finer = shifted_grid(400)
    old = profile_flow(mixture(), noise(6), shifted_grid(40), finer=finer)
    there = profile_flow(mixture(), noise(6), shifted_grid(24), finer=finer)
    found = transfer(old, there.sigmas)
    assert found.displacements == range(24, 48)
    np.testing.assert_allclose(found.grams, there.grams, rtol=0.02, atol=0.02)


def test_a_finer_run_that_is_coarser_or_ends_elsewhere_is_refused() -> None:
    with pytest.raises(InputError, match=r"finer_steps 8: .* more steps than the run's 8"):
        profile_flow(mixture(), noise(1), shifted_grid(8), finer=shifted_grid(8))
    with pytest.raises(InputError, match="ends depend on the number of steps"):
        profile_flow(mixture(), noise(1), shifted_grid(8), finer=(0.99, *shifted_grid(30)[1:]))


@pytest.mark.parametrize("rate", [-2.0, 0.7])
def test_against_a_finer_run_propagation_is_that_of_the_replayed_steps(rate: float) -> None:
    sigmas, field = shifted_grid(20), linear(torch.tensor(rate).double())
    profile = profile_flow(field, noise(24), sigmas, finer=shifted_grid(200))
    positions, samples = choose(20, 24, runs=2)
    assert tuple(profile.propagation_index) == samples
    expected = [grown(sigmas, torch.tensor(rate).double(), s).item() for s in positions]
    np.testing.assert_allclose(profile.propagation, np.tile(expected, (len(samples), 1)), rtol=1e-6)


def test_where_steps_are_not_eulers_an_injected_error_is_measured_from_where_they_led() -> None:
    fine = record_finer(mixture(), noise(1), shifted_grid(20), shifted_grid(200))
    h, step = fine.sigmas[10] - fine.sigmas[8], 10
    v, w = fine.columns[:20], fine.columns[20:]
    slope = (v[8] - v[6]) / (fine.sigmas[8] - fine.sigmas[6])
    weights = np.diff(fine.sigmas)[8:10]
    middle = float((weights * np.array(fine.sigmas)[8:10]).sum() / weights.sum())
    u_hat = v[8] + (middle - fine.sigmas[8]) * slope
    torch.testing.assert_close(
        injected(fine.sigmas, fine.latents, fine.columns, step),
        h * u_hat - (fine.latents[10] - fine.latents[8]),
    )
    torch.testing.assert_close(
        h * u_hat - (weights[0] * w[8] + weights[1] * w[9]),
        h * u_hat - (fine.latents[10] - fine.latents[8]),
    )
