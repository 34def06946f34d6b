"""vllm_omni/diffusion/worker/diffusion_model_runner.py at 001514f970f3: one worker's pipeline.

``execute_model`` runs one request, ``execute_model_batch`` several at once, ``execute_stepwise``
one step of every request that is running. The configuration says how the pipeline is built.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from vllm_omni.diffusion.request import OmniDiffusionRequest
from vllm_omni.diffusion.worker.request_batch import DiffusionRequestBatch
from vllm_omni.diffusion.worker.utils import StepRequestState


class DiffusionModelRunner:
    def __init__(self, od_config: Any) -> None:
        self.od_config = od_config
        self.pipeline: Any = None
        self.state_cache: dict[str, StepRequestState] = {}

    def load_model(self, load_format: str = "default") -> None:
        if load_format != "dummy":
            self.pipeline = self.od_config.build()

    def execute_model(self, req: OmniDiffusionRequest) -> Tensor:
        return self.execute_model_batch([req])[0]

    def execute_model_batch(self, reqs: list[OmniDiffusionRequest]) -> list[Tensor]:
        return self.pipeline.forward(DiffusionRequestBatch(requests=reqs))

    def execute_stepwise(self, new: list[OmniDiffusionRequest]) -> dict[str, Tensor]:
        for request in new:
            state = StepRequestState(request.request_id, copy.deepcopy(request.sampling_params))
            self.state_cache[request.request_id] = self.pipeline.prepare_encode(state)
        states = list(self.state_cache.values())
        latents = torch.cat([state.latents for state in states])
        timesteps = torch.stack([state.current_timestep for state in states])
        scale = states[0].sampling.true_cfg_scale or 1.0
        noise_pred = self.pipeline.denoise_step(latents, timesteps, scale)
        for i, state in enumerate(states):
            self.pipeline.step_scheduler(state, noise_pred[i : i + 1])
        done = [state for state in states if state.denoise_completed]
        return {state.request_id: self.state_cache.pop(state.request_id).latents for state in done}
