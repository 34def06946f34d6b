"""A pipeline as vllm_omni/diffusion/models/qwen_image/pipeline_qwen_image.py has them.

It serves whole requests, several in one batch, and requests step by step. Its latents and prompts
are the tests' own. (``forward``, ``diffuse`` and ``prepare_timesteps``: also pipeline_flux.py at
01e4946a43de; ``denoise_step`` and ``step_scheduler``: stepwise_mixin.py at 295b1c843e0b.)
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import retrieve_timesteps
from torch import Tensor, nn

from vllm_omni.diffusion.distributed.cfg_parallel import CFGParallelMixin
from vllm_omni.diffusion.worker.request_batch import DiffusionRequestBatch
from vllm_omni.diffusion.worker.utils import StepRequestState


class Pipeline(nn.Module, CFGParallelMixin):
    supports_request_batch = True
    supports_step_execution = True

    def __init__(self, transformer: nn.Module, scheduler: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.scheduler = scheduler

    def prepare_timesteps(self, steps: int, sigmas: Any) -> Tensor:
        sigmas = np.linspace(1.0, 1 / steps, steps) if sigmas is None else sigmas
        return retrieve_timesteps(self.scheduler, steps, sigmas=sigmas, mu=0.7)[0]

    def diffuse(self, latents: Tensor, timesteps: Tensor, scale: float) -> Tensor:
        self.scheduler.set_begin_index(0)
        for t in timesteps:
            noise_pred = self._predict(latents, t.expand(len(latents)), scale)
            latents = self.scheduler_step_maybe_with_cfg(noise_pred, t, latents, scale > 1)
        return latents

    def forward(self, req: DiffusionRequestBatch) -> list[Tensor]:
        first = req.sampling_params_list[0]
        latents = torch.cat([each.latents for each in req.sampling_params_list])
        timesteps = self.prepare_timesteps(first.num_inference_steps or 50, first.sigmas)
        return list(self.diffuse(latents, timesteps, first.true_cfg_scale or 1.0).split(1))

    def prepare_encode(self, state: StepRequestState, **_: Any) -> StepRequestState:
        sampling = state.sampling
        state.latents = sampling.latents
        state.timesteps = self.prepare_timesteps(
            sampling.num_inference_steps or 50, sampling.sigmas
        )
        state.scheduler = copy.deepcopy(self.scheduler)
        state.scheduler.set_begin_index(0)
        return state

    def denoise_step(self, latents: Tensor, timesteps: Tensor, scale: float) -> Tensor:
        return self._predict(latents, timesteps, scale)

    def step_scheduler(self, state: StepRequestState, noise_pred: Tensor) -> None:
        state.latents = self.scheduler_step_maybe_with_cfg(
            noise_pred,
            state.current_timestep,
            state.latents,
            False,
            per_request_scheduler=state.scheduler,
        )
        state.step_index += 1

    def _predict(self, latents: Tensor, timesteps: Tensor, scale: float) -> Tensor:
        inputs = {"hidden_states": latents, "timestep": timesteps / 1000}
        return self.predict_noise_maybe_with_cfg(
            scale > 1, scale, {**inputs, "prompt": 1.0}, {**inputs, "prompt": -1.0}
        )
