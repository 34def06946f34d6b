"""The flow's training goes on exactly where it was stopped, on sprites that need no network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

TRAINING = Path(__file__).parents[2] / "calibration" / "reference" / "training"


@pytest.fixture(scope="module")
def flow() -> Iterator[ModuleType]:
    """The training folder's flow, with batches of two; what it imports has plain names."""
    before = set(sys.modules)
    sys.path.insert(0, str(TRAINING))
    try:
        module = __import__("flow")
        module.BATCH = 2  # type: ignore[attr-defined]
        sys.modules["latents"].FITTED = 64  # type: ignore[attr-defined]
        yield module
    finally:
        sys.path.remove(str(TRAINING))
        for name in set(sys.modules) - before:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(TRAINING)):
                del sys.modules[name]


@pytest.fixture(scope="module")
def bank(flow: ModuleType) -> list[Any]:
    """A square of a colour of its own for every subject."""
    sprites, rng = sys.modules["sprites"], np.random.default_rng(0)
    colours = rng.integers(0, 256, (len(sys.modules["subjects"].NAMES), 4), np.uint8)
    colours[:, 3] = 255
    return [
        [[np.tile(colour, (size, size, 1))] * len(sprites.ANGLES) for size in sprites.SIZES]
        for colour in colours
    ]


class Stopped(Exception):
    """In place of whatever stops a training."""


def stop(*_: object) -> None:
    raise Stopped


def weights(work: Path) -> dict[str, torch.Tensor]:
    return torch.load(work / "flow.pt", weights_only=True)["networks"]


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    flow: ModuleType, bank: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stopped", "whole"):
        with monkeypatch.context() as patched:
            patched.setattr(flow, "save", stop if name == "stopped" else lambda *_: None)
            if name == "stopped":
                with pytest.raises(Stopped):
                    flow.train(bank, tmp_path / "out", tmp_path / name, 5, 2, compiled=False)
                patched.setattr(flow, "save", lambda *_: None)
            flow.train(bank, tmp_path / "out", tmp_path / name, 5, 2, compiled=False)
    stopped, whole = weights(tmp_path / "stopped"), weights(tmp_path / "whole")
    assert stopped.keys() == whole.keys()
    for name, tensor in whole.items():  # two whole runs differ as much: sums depend on alignment
        torch.testing.assert_close(stopped[name], tensor, rtol=1e-4, atol=1e-5)
