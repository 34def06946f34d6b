"""Fixtures that several test directories share."""

from __future__ import annotations

import pytest
from diffusers import FluxPipeline

from tests.tiny import tiny_flux as build_tiny_flux


@pytest.fixture
def tiny_flux() -> FluxPipeline:
    """A fresh tiny FluxPipeline (32 × 32 pixels), random weights."""
    return build_tiny_flux()
