"""vllm_omni/diffusion/distributed/cfg_parallel.py at 0473904e9d18: guidance, then the step.

With CFG parallel every rank gathers both predictions and takes this very step by itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


class CFGParallelMixin:
    transformer: Any
    scheduler: Any

    def predict_noise_maybe_with_cfg(
        self,
        do_true_cfg: bool,
        true_cfg_scale: float,
        positive_kwargs: dict[str, Any],
        negative_kwargs: dict[str, Any] | None,
    ) -> Tensor:
        positive = self.transformer(**positive_kwargs)[0]
        if not do_true_cfg:
            return positive
        negative = self.transformer(**negative_kwargs)[0]
        return negative + true_cfg_scale * (positive - negative)

    def scheduler_step_maybe_with_cfg(
        self,
        noise_pred: Tensor,
        t: Tensor,
        latents: Tensor,
        do_true_cfg: bool,
        per_request_scheduler: Any = None,
    ) -> Tensor:
        scheduler = self.scheduler if per_request_scheduler is None else per_request_scheduler
        return scheduler.step(noise_pred, t, latents, return_dict=False)[0]
