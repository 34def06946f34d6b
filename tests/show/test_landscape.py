"""Where reuse goes wrong, in figures: what charts and views are made of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_flow import profile_flow
from meancache_plan.show.landscape import by_length, hold_surfaces, spread
from tests.show.shown import SIGMAS, quadratic


def test_hold_surface_is_the_mean_absolute_error_of_reuse(profile: Profile) -> None:
    noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    z, velocities = noise[0][None], []
    for sigma, following in pairwise(SIGMAS):
        velocities.append(quadratic(z, sigma))
        z = z + (following - sigma) * velocities[-1]
    expected = float((torch.stack(velocities[4:7]).mean(0) - velocities[4]).abs().mean())
    surface = hold_surfaces(profile)[0]
    assert surface[4, 7] == pytest.approx(expected, rel=1e-4)
    assert by_length(surface, 3)[4] == surface[4, 7]
    assert np.isnan(surface[4, 4])


def test_spread_is_zero_for_prompts_that_do_not_differ(profile: Profile) -> None:
    def alike(latents: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.full_like(latents, sigma)

    same = spread(profile_flow(alike, torch.zeros(2, 1, 3), SIGMAS))
    differing = spread(profile)
    assert same is not None
    assert differing is not None
    assert (same.relative, same.largest) == (0.0, pytest.approx(1.0))
    assert differing.relative > 0
