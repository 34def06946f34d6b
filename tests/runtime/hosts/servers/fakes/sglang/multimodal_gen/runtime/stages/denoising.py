"""…/runtime/pipelines_core/stages/denoising.py at 00251aaaa093: the loop, with both predictions."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from sglang.multimodal_gen.runtime.pipelines_core.diffusion_scheduler_utils import (
    get_or_create_request_scheduler,
)
from sglang.multimodal_gen.runtime.req import Req


class DenoisingStage:
    def __init__(self, transformer: Any, scheduler: Any) -> None:
        self.transformer, self.scheduler = transformer, scheduler

    def forward(self, batch: Req) -> Req:
        scheduler = get_or_create_request_scheduler(batch, self.scheduler)
        wanted = {"generator": batch.generator, "eta": batch.eta, "batch": batch}
        extra = _extra_func_kwargs(scheduler.step, wanted)
        scheduler._step_index = scheduler._begin_index = None
        scheduler.set_begin_index(0)
        for t in batch.timesteps:
            latents = scheduler.scale_model_input(batch.latents, t)
            noise_pred = self._predict_noise_with_cfg(batch, latents, t.repeat(len(latents)))
            batch.latents = scheduler.step(
                model_output=noise_pred,
                timestep=t,
                sample=batch.latents,
                **extra,
                return_dict=False,
            )[0]
        return batch

    def _predict_noise_with_cfg(self, batch: Req, latents: Tensor, timestep: Tensor) -> Tensor:
        inputs = {"hidden_states": latents, "timestep": timestep / 1000}
        positive = self.transformer(**inputs, prompt=1.0)[0]
        if not batch.do_classifier_free_guidance:
            return positive
        scale = batch.guidance_scale if batch.true_cfg_scale is None else batch.true_cfg_scale
        negative = self.transformer(**inputs, prompt=-1.0)[0]
        return negative + scale * (positive - negative)


def _extra_func_kwargs(function: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(inspect.unwrap(function)).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return kwargs
    return {name: value for name, value in kwargs.items() if name in parameters}
