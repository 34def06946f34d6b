"""…/runtime/pipelines_core/stages/timestep_preparation.py at 031aa312cc77."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import numpy as np

from sglang.multimodal_gen.runtime.pipelines_core.diffusion_scheduler_utils import (
    get_or_create_request_scheduler,
)
from sglang.multimodal_gen.runtime.req import Req


class TimestepPreparationStage:
    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def forward(self, batch: Req) -> Req:
        scheduler = get_or_create_request_scheduler(batch, self.scheduler)
        assert "sigmas" in inspect.signature(scheduler.set_timesteps).parameters
        assert "n_tokens" not in inspect.signature(scheduler.set_timesteps).parameters
        if batch.sigmas is None:
            steps = batch.num_inference_steps
            batch.sigmas = np.linspace(1.0, 1 / steps, steps).tolist()
        scheduler.set_timesteps(sigmas=batch.sigmas, device=batch.latents.device, mu=0.7)
        batch.timesteps = scheduler.timesteps
        return batch

    def forward_group(self, batches: list[Req]) -> list[Req]:
        """Requests of equal steps and size: what the first one gets is copied to the others."""
        first = self.forward(batches[0])
        for other in batches[1:]:
            other.timesteps, other.scheduler = first.timesteps, deepcopy(first.scheduler)
        return batches
