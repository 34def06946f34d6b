"""Fixtures that several test directories share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from hypothesis import settings

from tests.commands import STEPS, write_profile
from tests.tiny import tiny_flux as build_tiny_flux
from tests.tiny_model import write_model

# How long an example takes says only how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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


@pytest.fixture
def others(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What libraries write to the standard output of all that a test starts."""
    said = tmp_path_factory.mktemp("said") / "by-others"
    said.touch()
    monkeypatch.setenv("SAID_BY_OTHERS", str(said))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "listening"), prepend=os.pathsep)
    return said


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest are begun first, by ``pytest.mark.early(place)``, so that small ones
    are left for whoever is free at the end."""
    items.sort(key=place)


def place(item: pytest.Item) -> float:
    """Among all tests, the least first: what is not marked comes after what is."""
    marker = item.get_closest_marker("early")
    return inf if marker is None else marker.args[0]
