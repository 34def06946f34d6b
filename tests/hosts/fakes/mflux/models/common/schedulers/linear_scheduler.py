"""mflux's scheduler of its own, as its public interface has it: NumPy's arrays stand for MLX's."""

from __future__ import annotations

from typing import Any

import numpy as np


class LinearScheduler:
    """Noise levels from 1 to 0, shifted as a request's model asks for."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self._sigmas = self._get_sigmas()

    @property
    def sigmas(self) -> Any:
        return self._sigmas

    def _get_sigmas(self) -> Any:
        steps, shift = self.config.num_inference_steps, self.config.model_config.shift
        raw = np.linspace(1, 0, steps + 1)
        return (shift * raw / (1 + (shift - 1) * raw)).astype(np.float32)

    def step(self, noise: Any, timestep: int, latents: Any, **kwargs: Any) -> Any:
        return latents + noise * (self._sigmas[timestep + 1] - self._sigmas[timestep])

    def scale_model_input(self, latents: Any, t: int) -> Any:
        return latents
