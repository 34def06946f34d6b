"""Fixtures that several test directories share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from tests.commands import STEPS, write_profile
from tests.tiny import tiny_flux as build_tiny_flux
from tests.tiny_model import write_model


@pytest.fixture(autouse=True)
def arithmetic_as_found() -> Iterator[None]:
    """No test leaves its process flushing subnormal numbers, in which later ones would compute."""
    yield
    if float(np.float64(5e-324) * 1.0) == 0:
        torch.set_flush_denormal(False)
        pytest.fail("left this process flushing subnormal numbers to zero")


@pytest.fixture
def tiny_flux() -> FluxPipeline:
    """A fresh tiny FluxPipeline (32 × 32 pixels), random weights."""
    return build_tiny_flux()


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def profile(cwd: Path) -> Path:
    """A profile of a closed-form flow, under the default name."""
    return write_profile(cwd, STEPS)


@pytest.fixture
def model(cwd: Path, tiny_flux: FluxPipeline) -> Path:
    """A tiny pipeline's directory, with a recipe and prompt lists beside it."""
    write_model(cwd, tiny_flux, STEPS)
    return cwd / "model"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in no folder tests the whole and takes longest: it comes first, the pages before
    all, so that small files are left for whoever is free at the end."""
    folder = Path(__file__).parent
    items.sort(key=lambda item: ("test_readme" not in item.nodeid, item.path.parent != folder))
