"""A velocity function is profiled as a pipeline is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meancache_plan import profile_flow, solve
from meancache_plan.core.trajectory import record_flow
from meancache_plan.errors import InputError
from meancache_runtime import integrate


def test_profile_flow_feeds_solve_and_integrate() -> None:
    """A linear velocity is predicted exactly by adams: the replay hits the full Euler run."""
    grid = [1 - i / 12 for i in range(13)]

    def velocity(z: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.full_like(z, 2.0 + 3.0 * sigma)

    noise = torch.randn(3, 5, dtype=torch.float64)
    profile = profile_flow(velocity, noise, grid)
    schedule = solve(profile, budgets=[3], predictors=("hold", "adams"), metric="rms")
    calls: list[float] = []

    def counted(z: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return velocity(z, sigma)

    got = integrate(counted, noise, schedule, budget=3)
    full = record_flow(velocity, noise, grid).latents[-1]
    assert len(calls) == len(schedule.plans[0].knots) <= 3
    np.testing.assert_allclose(got.numpy(), full.numpy(), atol=1e-12)


def test_profile_flow_refuses_no_samples() -> None:
    with pytest.raises(InputError, match="no sample"):
        profile_flow(lambda z, s: z, torch.zeros(0, 4), [1.0, 0.0])
