"""Fixtures that several test directories share."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import FluxPipeline

from tests.commands import STEPS, write_profile
from tests.tiny import SIDE, TEXT_LENGTH
from tests.tiny import tiny_flux as build_tiny_flux


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
    tiny_flux.save_pretrained(cwd / "model")
    (cwd / "fit.txt").write_text("a cat\na dog\n")
    (cwd / "held.txt").write_text("an owl\na cow\n")
    (cwd / "tiny.toml").write_text(
        f'steps = {STEPS}\nheight = {SIDE}\nwidth = {SIDE}\ndtype = "float32"\nguidance = 1.0\n'
        f"call = {{ max_sequence_length = {TEXT_LENGTH} }}\nseeds = '0'\nheldout_seeds = '9'\n"
        'prompts = "fit.txt"\nheldout_prompts = "held.txt"\n'
    )
    return cwd / "model"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The one long test comes first, so that others run beside it and not before it."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)
