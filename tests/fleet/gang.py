"""Work for gangs on CPUs: a sum that takes all of its members, and a model that they share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

if TYPE_CHECKING:
    from meancache_plan.source.diffusers.pipeline import Pipeline

PROMPT, SEED = "an owl", 7


def summing(folder: Path) -> Callable[[int], Iterable[float]]:
    """Add a unit to every member's rank, and sum; the second member dies the first time."""

    def work(unit: int) -> Iterable[float]:
        rank, died = distributed.get_rank(), folder / "died"
        if rank == 1 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        total = torch.tensor(float(unit + rank))
        distributed.all_reduce(total)
        yield total.item()

    return work


def by_tokens(model: str, pipeline: Pipeline) -> Tensor:
    """The latents of a sample whose tokens the members share."""
    from meancache_plan.source.diffusers.load_pipeline import load  # which a sum does without

    torch.accelerator.device_count = lambda: 1  # diffusers counts GPUs, of which a CPU is none
    shared = load(model, pipeline.recipe, device="cpu", parallel="ulysses")
    assert shared.versions()["parallel"] == "ulysses of 2"
    return shared.record(PROMPT, SEED)[0].latents
