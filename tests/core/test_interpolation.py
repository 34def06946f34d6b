"""Between known noise levels: exact for cubics, and as near as a cubic is elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial
from torch import Tensor

from meancache_plan.core.finer_run import on_grid
from meancache_plan.core.interpolation import latent_weights, velocity_weights
from meancache_plan.core.trajectory import Trajectory, record_flow
from meancache_plan.errors import InputError
from tests.fields import gaussian_mixture, mixture, noise, shifted_grid

KNOWN = shifted_grid(9)
BETWEEN = shifted_grid(7, 2.0)


def at(path: Polynomial, known: tuple[float, ...], wanted: tuple[float, ...]) -> np.ndarray:
    """A path interpolated from its values and slopes."""
    weights = latent_weights(known, wanted)
    values, slopes = path(np.array(known)), path.deriv()(np.array(known[:-1]))
    return weights.latents @ values + weights.velocities @ slopes


@pytest.mark.parametrize("known", [KNOWN, tuple(1 - s for s in KNOWN)], ids=["falling", "rising"])
def test_latents_on_a_cubic_are_exact_but_in_the_last_step(known: tuple[float, ...]) -> None:
    path = Polynomial([0.3, -1.0, 2.0, 0.7])
    inside = tuple(known[0] + x * (known[-2] - known[0]) for x in (0.0, 0.1, 0.37, 0.5, 0.99, 1.0))
    np.testing.assert_allclose(at(path, known, inside), path(np.array(inside)), atol=1e-12)


def test_latents_on_a_parabola_are_exact_in_the_last_step_too() -> None:
    path = Polynomial([0.3, -1.0, 2.0])
    inside = (0.5 * (KNOWN[-2] + KNOWN[-1]), 0.9 * KNOWN[-2] + 0.1 * KNOWN[-1], KNOWN[-1])
    np.testing.assert_allclose(at(path, KNOWN, inside), path(np.array(inside)), atol=1e-12)


def test_at_known_levels_latents_are_the_known_ones_themselves() -> None:
    found = latent_weights(KNOWN, KNOWN)
    assert (found.latents == np.eye(len(KNOWN))).all()
    assert not found.velocities.any()


def test_beyond_the_ends_latents_go_straight_on() -> None:
    path = Polynomial([0.3, -1.0])
    known, beyond = (0.9, 0.5, 0.2), (1.0, 0.1, 0.0)
    np.testing.assert_allclose(at(path, known, beyond), path(np.array(beyond)), atol=1e-12)


def gaussian_run(steps: int) -> Trajectory:
    """The exact trajectory of one Gaussian's flow: z = (1 − σ)·μ + s(σ)/s(1)·noise."""
    mean, deviation = torch.linspace(-1, 1, 16, dtype=torch.float64), 0.3
    field, start, sigmas = gaussian_mixture(mean[None], deviation), noise(1), shifted_grid(steps)

    def exact(sigma: float) -> Tensor:
        spread = ((1 - sigma) ** 2 * deviation**2 + sigma**2) ** 0.5
        return (1 - sigma) * mean + spread * start

    latents = torch.stack([exact(sigma) for sigma in sigmas])
    velocities = torch.stack([field(exact(sigma), sigma) for sigma in sigmas[:-1]])
    return Trajectory(sigmas, latents, velocities)


def test_a_finer_run_seen_on_a_coarser_grid_is_the_exact_trajectory() -> None:
    fine, coarse = gaussian_run(200), gaussian_run(27)
    found = on_grid(fine, coarse.sigmas, switches=[4])
    torch.testing.assert_close(found.latents, coarse.latents, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.velocities, coarse.velocities, rtol=0, atol=1e-5)
    assert (found.displaced, found.replaces, found.switches) == (True, None, (4,))


def test_interpolated_velocities_are_nearer_than_the_slope_of_the_latents() -> None:
    """Why velocities are interpolated by themselves."""
    fine, coarse = gaussian_run(200), gaussian_run(27)
    step = 1e-6
    low, high = (
        latent_weights(fine.sigmas, [sigma + by for sigma in coarse.sigmas[:-1]])
        for by in (-step, step)
    )
    z, v = fine.latents.flatten(1).numpy(), fine.velocities.flatten(1).numpy()
    slopes = (high.latents - low.latents) @ z + (high.velocities - low.velocities) @ v
    own = velocity_weights(fine.sigmas, coarse.sigmas) @ v
    true = coarse.velocities.flatten(1).numpy()
    assert np.linalg.norm(own - true) < np.linalg.norm(slopes / (2 * step) - true)


def test_a_finer_run_begins_and_ends_as_it_did_though_its_ends_are_a_little_off() -> None:
    fine = record_flow(mixture(), noise(1), (0.9995, *shifted_grid(60)[1:]))
    found = on_grid(fine, shifted_grid(10))
    assert torch.equal(found.latents[0], fine.latents[0])
    assert torch.equal(found.latents[-1], fine.latents[-1])
    assert found.sigmas == shifted_grid(10)


def test_half_precision_latents_are_interpolated_in_single() -> None:
    fine = gaussian_run(50)
    half = replace(fine, latents=fine.latents.half(), velocities=fine.velocities.half())
    found = on_grid(half, shifted_grid(10))
    assert (found.latents.dtype, found.velocities.dtype) == (torch.float32, torch.float16)


def test_a_finer_run_whose_latents_were_edited_is_refused() -> None:
    with pytest.raises(InputError, match="inpainting"):
        on_grid(replace(gaussian_run(50), edited=True), shifted_grid(10))


def test_velocities_between_are_those_of_a_cubic() -> None:
    path = Polynomial([0.3, -1.0, 2.0, 0.7])
    grid = tuple(KNOWN[0] + x * (KNOWN[-2] - KNOWN[0]) for x in np.linspace(0, 1, len(BETWEEN)))
    found = velocity_weights(KNOWN, grid) @ path(np.array(KNOWN[:-1]))
    np.testing.assert_allclose(found, path(np.array(grid[:-1])), atol=1e-12)
