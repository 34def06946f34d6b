"""vllm_omni/diffusion/request.py and inputs/data.py, as files of 2026 have them: a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DUMMY_DIFFUSION_REQUEST_ID = "dummy_req_id"


@dataclass
class OmniDiffusionSamplingParams:
    height: int | None = None
    width: int | None = None
    num_frames: int = 1
    num_inference_steps: int | None = None
    sigmas: list[float] | None = None
    guidance_scale: float = 0.0
    guidance_scale_provided: bool = False
    true_cfg_scale: float | None = None
    latents: Any = None
    extra_args: dict[str, Any] = field(default_factory=dict)


@dataclass
class OmniDiffusionRequest:
    prompt: Any
    sampling_params: OmniDiffusionSamplingParams
    request_id: str
