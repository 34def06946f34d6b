"""A calibrated model, for the tests of kits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import run


@pytest.fixture
def calibrated(model: Path, cwd: Path) -> Path:
    """A folder with a tiny pipeline, its recipe and its profile."""
    with (cwd / "tiny.toml").open("a") as recipe:
        recipe.write("budgets = '3,5'\n")
    run("calibrate", "model", "--recipe", "tiny.toml")
    return cwd
