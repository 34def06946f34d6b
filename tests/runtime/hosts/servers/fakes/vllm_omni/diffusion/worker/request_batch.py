"""vllm_omni/diffusion/worker/request_batch.py at 02952af3fdee: requests in one ``forward``."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_omni.diffusion.request import OmniDiffusionRequest, OmniDiffusionSamplingParams


@dataclass
class DiffusionRequestBatch:
    requests: list[OmniDiffusionRequest]

    @property
    def sampling_params_list(self) -> list[OmniDiffusionSamplingParams]:
        return [request.sampling_params for request in self.requests]
