"""The command line as a test runs it: what it prints, how it ends."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from meancache_plan import profile_flow, save_profile
from meancache_plan.cli import main

PAPER = ("--planner", "pssp", "--predictors", "hold,jvp", "--metric", "l1", "--weighting", "none")
"""The paper's own method."""

STEPS = 8
"""Steps of the profile and of the recipe that the fixtures give."""


def run(*arguments: str) -> None:
    """Run a command that must succeed."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code in (0, None)


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail as bad input does; return its one message."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    streams = capsys.readouterr()
    assert stop.value.code == 2
    assert "Traceback" not in streams.err
    assert streams.err.strip()
    return re.sub(r"\s+", " ", streams.err)


def write_profile(folder: Path, steps: int) -> Path:
    """A profile of a closed-form flow, four prompts, under the default name."""
    noise = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    path = folder / "meancache.profile.safetensors"
    grid = np.linspace(1.0, 0.0, steps + 1).tolist()
    save_profile(profile_flow(lambda z, sigma: z.tanh() * (1 + sigma), noise, grid), path)
    return path
