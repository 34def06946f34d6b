"""vllm_omni/diffusion/worker/utils.py at 044f4ec6bac6: a request's state between its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vllm_omni.diffusion.request import OmniDiffusionSamplingParams


@dataclass
class StepRequestState:
    request_id: str
    sampling: OmniDiffusionSamplingParams
    prompt: Any = None
    latents: Tensor | None = None
    timesteps: Tensor | None = None
    step_index: int = 0
    scheduler: Any = None

    @property
    def current_timestep(self) -> Tensor:
        return self.timesteps[self.step_index]

    @property
    def denoise_completed(self) -> bool:
        return self.step_index >= len(self.timesteps)
