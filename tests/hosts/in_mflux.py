"""mflux's protocol: a scheduler by its dotted path, in a loop as mflux's pipelines have it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from meancache_runtime.schedule import Schedule, to_document
from tests.hosts.host import Host, Latents, Model, Run

FAKES = Path(__file__).parent / "fakes"
PATH = "meancache_runtime.hosts.mflux.MeanCacheScheduler"


@contextmanager
def faked(schedule: Schedule, budget: int) -> Iterator[None]:
    """A fake of mflux can be imported, and a schedule is named; neither is left behind."""
    with (
        TemporaryDirectory() as folder,
        mock.patch.object(sys, "path", [str(FAKES), *sys.path]),
        mock.patch.dict(sys.modules),
        mock.patch.dict("os.environ", {"MEANCACHE_SCHEDULE": f"{folder}/schedule.json"}),
    ):
        document = json.dumps(to_document(schedule, budget))
        Path(folder, "schedule.json").write_text(document, encoding="utf-8")
        yield


def request(steps: int, shift: float = 3.0, first: int = 0) -> Any:
    """mflux's configuration of a request, with its scheduler made from the dotted path."""
    config = SimpleNamespace(
        model_config=SimpleNamespace(shift=shift),
        num_inference_steps=steps,
        init_time_step=first,
        width=64,
        height=64,
    )
    module, _, name = PATH.rpartition(".")
    config.scheduler = getattr(import_module(module), name)(config)
    return config


def generate(config: Any, model: Any, latents: Any) -> Any:
    """The loop of mflux's pipelines."""
    for t in range(config.init_time_step, config.num_inference_steps):
        latents = config.scheduler.scale_model_input(latents, t)
        noise = model(latents, float(config.scheduler.sigmas[t]))
        latents = config.scheduler.step(noise=noise, timestep=t, latents=latents)
    return latents


def _mflux(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
        steps = len(sigmas) - 1
        raw = 1 - 1 / steps
        shift = sigmas[1] * (1 - raw) / (raw * (1 - sigmas[1]))
        asked = budget if steps == schedule.grid.steps else steps
        with faked(schedule, budget):
            found = generate(request(asked, shift), model, noise.reshape(2, 16, 16).astype(dtype))
        return found.astype(np.float64).reshape(-1)

    return run


HOSTS = (
    Host(
        "mflux",
        "the scheduler, in a fake of mflux's loop with NumPy's arrays",
        _mflux,
        ("numpy",),
        ("float32", "float16"),
        own_levels=True,
    ),
)
