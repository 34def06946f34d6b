"""On a CPU a loaded model has the threads that suit its size, unless the environment says."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline

from meancache_plan.source.diffusers import load_pipeline
from meancache_plan.source.recipe import Recipe


@pytest.fixture
def model(
    tiny_flux: FluxPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Path]:
    """A tiny model on a machine with four cores; torch is left as it was found."""
    tiny_flux.save_pretrained(tmp_path / "model")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(load_pipeline, "MOST_THREADS", 4)
    before = torch.get_num_threads()
    yield tmp_path / "model"
    torch.set_num_threads(before)


def threads(model: Path) -> int:
    """Threads of torch once the model is loaded; a source tells the same."""
    source = load_pipeline.load(str(model), Recipe(dtype="float32"), device="cpu")
    assert source.versions()["threads"] == str(torch.get_num_threads())
    return torch.get_num_threads()


@pytest.mark.parametrize(("times", "expected"), [(0.5, 1), (1, 1), (3, 3), (10, 4)])
def test_there_is_a_thread_for_so_many_parameters_of_the_denoiser(
    model: Path, monkeypatch: pytest.MonkeyPatch, times: float, expected: int
) -> None:
    transformer = FluxPipeline.from_pretrained(model).transformer
    size = sum(each.numel() for each in transformer.parameters())
    monkeypatch.setattr(load_pipeline, "PARAMETERS_A_THREAD", int(size / times))
    assert threads(model) == expected


def test_the_environment_has_the_last_word(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(3)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads(model) == 3
