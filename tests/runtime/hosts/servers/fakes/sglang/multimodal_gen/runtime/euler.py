"""…/runtime/models/schedulers/scheduling_flow_match_euler_discrete.py at 2282b7a088e7.

It derives from none of diffusers' schedulers, and its steps are told of a request's ``batch``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor


class FlowMatchEulerDiscreteScheduler:
    order = 1

    def __init__(self, mu: bool = True) -> None:
        self.config = SimpleNamespace(
            num_train_timesteps=1000, use_dynamic_shifting=mu, stochastic_sampling=False
        )
        self._shift = 1.0
        self._step_index: int | None = None
        self._begin_index: int | None = None

    @property
    def step_index(self) -> int | None:
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        self._begin_index = begin_index

    def set_shift(self, shift: float) -> None:
        self._shift = shift

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
        timesteps: Any = None,
    ) -> None:
        if sigmas is None:
            sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)
        levels = np.asarray(sigmas, dtype=np.float32)
        if self.config.use_dynamic_shifting:
            levels = np.exp(mu) / (np.exp(mu) + (1 / levels - 1))
        else:
            levels = self._shift * levels / (1 + (self._shift - 1) * levels)
        tensor = torch.from_numpy(levels).to(torch.float32)
        self.timesteps = tensor * self.config.num_train_timesteps
        self.sigmas = torch.cat([tensor, torch.zeros(1)])
        self._step_index = self._begin_index = None

    def _init_step_index(self, timestep: Tensor) -> None:
        if self._begin_index is None:
            self._step_index = int((self.timesteps == timestep).nonzero()[0].item())
        else:
            self._step_index = self._begin_index

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: Tensor,
        sample: Tensor,
        generator: Any = None,
        per_token_timesteps: Any = None,
        batch: Any = None,
        return_dict: bool = True,
    ) -> tuple[Tensor]:
        assert batch is not None
        if self._step_index is None:
            self._init_step_index(timestep)
        h = self.sigmas[self._step_index + 1] - self.sigmas[self._step_index]
        self._step_index += 1
        return ((sample.to(torch.float32) + h * model_output).to(model_output.dtype),)
