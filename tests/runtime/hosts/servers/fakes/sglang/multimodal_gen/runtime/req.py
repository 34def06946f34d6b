"""A request: ``Req`` of …/runtime/pipelines_core/schedule_batch.py at 0230ddc2f1bf, in short.

What its sampling parameters have is reached through it, as there.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Req:
    latents: Tensor
    num_inference_steps: int
    height: int | None = None
    width: int | None = None
    num_frames: int = 1
    guidance_scale: float = 1.0
    true_cfg_scale: float | None = None
    do_classifier_free_guidance: bool = False
    enable_teacache: bool = False
    enable_cache_dit: bool | None = None
    cfg_gate_step: float | None = None
    progressive_mode: str = "fullres"
    rollout: bool = False
    generator: Any = None
    eta: float = 0.0
    sigmas: Any = None
    timesteps: Tensor | None = None
    scheduler: Any = None
    extra: dict[str, Any] = field(default_factory=dict)
    is_warmup: bool = False

    def copy_as_warmup(self, warmup_steps: int = 1) -> Req:
        req = deepcopy(self)
        req.is_warmup, req.num_inference_steps = True, warmup_steps
        return req
