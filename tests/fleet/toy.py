"""A source without a model, whose samples can be slow, and one of which kills a worker.

As a command, it has so many workers on Ray calibrate it into a file, and says how many samples are
done.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from meancache_plan.core.finer_run import record_finer
from meancache_plan.core.trajectory import Trajectory, record_flow
from meancache_plan.fleet.crew import Crew
from meancache_plan.measure.calibrate import Progress, calibrate
from meancache_plan.schedule.artifact import Generation, ModelIdentity
from tests.fields import mixture, noise, shifted_grid

PROMPTS, SEEDS = ("a cat", "a dog", "an owl", "a cow"), (0, 1, 2)
SECONDS = 0.1


class Toy:
    """A mixture's flow. Each sample takes ``seconds``; the first of seed 2 kills its process.

    Attributes:
        seconds: How long a sample takes.
        dies: A file that is written when a process was killed, so that only one is; or none is.
    """

    def __init__(self, seconds: float = 0.0, dies: Path | None = None) -> None:
        self.seconds = seconds
        self.dies = dies

    def identity(self) -> ModelIdentity:
        return ModelIdentity(
            id="toy", revision=None, fingerprint=None, pipeline=None, scheduler=None, adapters=()
        )

    def generation(self) -> Generation:
        return Generation(height=None, width=None, frames=None, guidance={}, dtype="float64")

    def scheduler_config(self) -> dict[str, Any]:
        return {}

    def call_arguments(self) -> dict[str, Any]:
        return {}

    def num_inference_steps(self) -> int:
        return 8

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "threads": str(torch.get_num_threads())}

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        time.sleep(self.seconds)
        if seed == 2 and self.dies is not None and not self.dies.exists():
            self.dies.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        start = noise(1, seed=seed + len(prompt))
        if finer_steps is None:
            return record_flow(mixture(), start, shifted_grid(8)), 0.25
        return record_finer(mixture(), start, shifted_grid(8), shifted_grid(finer_steps)), 0.25

    def record_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], *, finer_steps: int | None = None
    ) -> tuple[list[Trajectory], float]:
        pairs = zip(prompts, seeds, strict=True)
        return [self.record(*pair, finer_steps=finer_steps)[0] for pair in pairs], 0.25

    def resume(self, prompt: str, seed: int, step: int, latents: Tensor) -> Trajectory:
        return record_flow(mixture(), latents, shifted_grid(8)[step:])


def calibrated(source: Toy | Crew[Toy], path: Path, progress: Progress = lambda *_: None) -> bytes:
    """The toy's profile, as it is written."""
    calibrate(source, PROMPTS, SEEDS, path, progress=progress)
    return path.read_bytes()


def toys(workers: int | None = None, dies: Path | None = None) -> Crew[Toy]:
    """Workers on Ray whose samples take a moment."""
    from meancache_plan.fleet.on_ray import RayCrew
    from meancache_plan.fleet.room import Room

    return RayCrew(partial(Toy, SECONDS, dies), Toy.versions, Room(gpus=0), workers)


if __name__ == "__main__":
    from meancache_plan.fleet.on_ray import joined

    told = lambda done, _: print(done, flush=True)  # noqa: E731
    with joined():
        calibrated(toys(int(sys.argv[2])), Path(sys.argv[1]), told)
