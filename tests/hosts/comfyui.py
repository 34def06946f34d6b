"""ComfyUI's protocol: the sampler function, called by a fake of ComfyUI's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from meancache_runtime.hosts.comfyui import sampler_function
from meancache_runtime.schedule import Schedule
from tests.hosts.host import Host, Latents, Model, Run
from tests.integrations.conftest import faked


class _Patcher:
    """A flow model of ComfyUI in its patcher."""

    def __init__(self, model: Model) -> None:
        from comfy.model_sampling import CONST

        self.model, self.inner = self, model
        self.model_sampling = CONST()
        self.model_options: dict[str, Any] = {"transformer_options": {}}

    def apply_model(self, x: Any, timestep: Any, condition: None) -> Any:
        velocity = self.inner(x, float(timestep[0]))
        return self.model_sampling.calculate_denoised(timestep, velocity, x)


def _sampler(
    schedule: Schedule, budget: int, model: Model, dtype: str, cached: bool = False
) -> Run:
    function = sampler_function(schedule, budget=budget)

    def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
        with faked():
            from comfy.samplers import KSAMPLER, CFGGuider

            guider = CFGGuider(_Patcher(model))
            if cached:
                guider.model_options["transformer_options"]["easycache"] = object()
            guider.set_conds(None, None)
            x = torch.from_numpy(noise).reshape(2, 4, 8, 8).to(getattr(torch, dtype))
            levels = torch.tensor(sigmas, dtype=torch.float64).to(x.dtype)
            found = guider.sample(x, torch.zeros_like(x), KSAMPLER(function), levels)
        return found.reshape(-1).numpy().astype(np.float64)

    return run


HOSTS = (
    Host(
        "ComfyUI",
        "the sampler function, in a fake of ComfyUI's `KSAMPLER` and `CFGGuider`",
        _sampler,
        ("torch",),
        ("float64", "float32"),
        cached=partial(_sampler, cached=True),
    ),
)
