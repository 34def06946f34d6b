"""…/runtime/pipelines_core/__init__.py at 0fc1a4fb7220, and of composed_pipeline_base.py.

The arguments of the server bring what a pipeline is built of.
"""

from __future__ import annotations

from typing import Any

from sglang.multimodal_gen.runtime.req import Req
from sglang.multimodal_gen.runtime.stages.denoising import DenoisingStage
from sglang.multimodal_gen.runtime.stages.timestep_preparation import TimestepPreparationStage


class ComposedPipelineBase:
    def __init__(self, server_args: Any) -> None:
        self.modules = server_args.modules
        scheduler = self.get_module("scheduler")
        self.timesteps = TimestepPreparationStage(scheduler)
        self.denoising = DenoisingStage(self.get_module("transformer"), scheduler)

    def get_module(self, module_name: str, default_value: Any = None) -> Any:
        return self.modules.get(module_name, default_value)

    def forward(self, batch: Req) -> Req:
        return self.denoising.forward(self.timesteps.forward(batch))


def build_pipeline(server_args: Any) -> ComposedPipelineBase:
    return ComposedPipelineBase(server_args)
