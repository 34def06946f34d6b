"""The benchmark of richer predictors: its parts are whole, and what it says of errors is so."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from benchmarks.richer import KINDS, Kind, Runs, misses, pictures, whole

SIGMAS = tuple(np.linspace(1.0, 0.0, 13).tolist())
KNOTS = (0, 3, 6, 9)


def quadratics(count: int, seed: int) -> Runs:
    """Runs whose velocity is a quadratic in σ, another one at each place."""
    rng = np.random.default_rng(seed)
    a, b, c, noise = torch.tensor(rng.normal(size=(4, count, 2, 4, 4)))
    latents = [noise]
    for sigma, following in pairwise(SIGMAS):
        velocity = a + b * sigma + c * sigma**2
        latents.append(latents[-1] + (following - sigma) * velocity)
    return Runs(torch.stack(latents), None)


@pytest.mark.parametrize("name", KINDS)
def test_parts_leave_nothing_out_and_count_nothing_twice(name: str) -> None:
    shown = torch.randn(3, 5, 4, 8, 6, dtype=torch.float64)
    parts = KINDS[name].split(shown)
    squares = torch.stack([part.square().sum(-1) for part in parts]).sum(0)
    torch.testing.assert_close(squares, shown.square().flatten(-3).sum(-1))


def test_packed_tokens_become_the_picture_that_flux_packs() -> None:
    shown = torch.arange(2 * 4 * 6 * 6, dtype=torch.float64).reshape(2, 4, 6, 6)
    packed = shown.reshape(2, 4, 3, 2, 3, 2).permute(0, 2, 4, 1, 3, 5).reshape(2, 9, 16)
    assert torch.equal(pictures(packed), shown)


def test_as_many_terms_as_a_velocity_has_powers_miss_nothing_and_fewer_do() -> None:
    fitted, judged = quadratics(8, 0), quadratics(5, 1)
    three, two = (misses(Kind(order, whole), SIGMAS, KNOTS, fitted, judged) for order in (3, 2))
    assert three.shape == (4, 5)
    assert three[2:].max() < 1e-6 * three[:2].min()
    assert two[2:].min() > 1e3 * three[2:].max()


def affine(count: int, seed: int) -> Runs:
    """Runs whose velocity is a place's constant times σ, less twice the latents."""
    draw = torch.Generator().manual_seed(seed)
    constant, noise = torch.randn(2, count, 2, 4, 4, dtype=torch.float64, generator=draw)
    latents = [noise]
    for sigma, following in pairwise(SIGMAS):
        latents.append(latents[-1] + (following - sigma) * (8 * sigma * constant - 2 * latents[-1]))
    return Runs(torch.stack(latents), None)


def test_with_the_latents_one_term_misses_less_where_the_velocity_is_affine_in_them() -> None:
    fitted, judged = affine(8, 0), affine(5, 1)
    without, beside = (
        misses(Kind(1, whole, latents=latents), SIGMAS, KNOTS, fitted, judged)
        for latents in (False, True)
    )
    assert beside.sum() < 0.3 * without.sum()  # what shrinkage leaves
