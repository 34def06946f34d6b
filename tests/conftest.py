"""Fixtures that several test directories share."""

from __future__ import annotations

import pytest
from diffusers import FluxPipeline

from tests.tiny import tiny_flux as build_tiny_flux


@pytest.fixture
def tiny_flux() -> FluxPipeline:
    """A fresh tiny FluxPipeline (32 × 32 pixels), random weights."""
    return build_tiny_flux()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The one long test comes first, so that others run beside it and not before it."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)
