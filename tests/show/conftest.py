"""A profile to show."""

from __future__ import annotations

import pytest
import torch

from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_flow import profile_flow
from tests.show.shown import SIGMAS, quadratic


@pytest.fixture
def profile() -> Profile:
    """Of a flow in closed form, three samples."""
    noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return profile_flow(quadratic, noise, SIGMAS)
