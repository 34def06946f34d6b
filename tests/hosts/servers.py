"""Servers: their workers, faked, with our plug-ins in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from meancache_runtime.hosts.servers.offer import BUDGET, SCHEDULE
from meancache_runtime.schedule import Schedule, to_document
from tests.hosts.host import Host, Latents, Model, Run
from tests.runtime.hosts.servers.conftest import faked

Serve = Callable[[torch.Tensor, list[float]], torch.Tensor]
"""Two samples of noise, and σ₀ … σ_{T−1} → latents at σ_T."""


class _Transformer(torch.nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, hidden_states: Any, timestep: Any, prompt: float) -> tuple[Any]:
        return (self.model(hidden_states, float(timestep[0])),)


def _started(start: Callable[[_Transformer], Serve]) -> Callable[..., Run]:
    """A worker that was started with the plan in its environment, and serves one size."""

    def build(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "plan.json"
            file.write_text(json.dumps(to_document(schedule, budget)))
            with faked(**{SCHEDULE: str(file), BUDGET: str(budget)}):
                serve = start(_Transformer(model))

        def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
            latents = torch.from_numpy(noise).reshape(2, 16, 16).to(getattr(torch, dtype))
            with faked():
                found = serve(latents, list(sigmas[:-1]))
            return found.reshape(-1).numpy().astype(np.float64)

        return run

    return build


def _vllm_omni(transformer: _Transformer, cache: str = "none") -> Serve:
    from vllm_omni.diffusion.pipeline import Pipeline
    from vllm_omni.diffusion.request import OmniDiffusionRequest, OmniDiffusionSamplingParams
    from vllm_omni.diffusion.worker.diffusion_model_runner import DiffusionModelRunner
    from vllm_omni.plugins import load_omni_general_plugins

    load_omni_general_plugins()
    pipeline = Pipeline(transformer, FlowMatchEulerDiscreteScheduler())
    runner = DiffusionModelRunner(
        SimpleNamespace(model="tiny", cache_backend=cache, build=lambda: pipeline)
    )
    runner.load_model()

    def serve(latents: torch.Tensor, sigmas: list[float]) -> torch.Tensor:
        asked = {"height": 64, "width": 64, "true_cfg_scale": 1.0, "sigmas": sigmas}
        parameters = [
            OmniDiffusionSamplingParams(latents=each, num_inference_steps=len(sigmas), **asked)
            for each in latents.split(1)
        ]
        requests = [
            OmniDiffusionRequest("a cat", each, f"request {i}") for i, each in enumerate(parameters)
        ]
        return torch.cat(runner.execute_model_batch(requests))

    return serve


def _sglang(transformer: _Transformer, cache: bool = False) -> Serve:
    from sglang.multimodal_gen.plugins import apply_plugin_hooks, load_plugins
    from sglang.multimodal_gen.runtime import pipelines_core
    from sglang.multimodal_gen.runtime.euler import FlowMatchEulerDiscreteScheduler as Euler
    from sglang.multimodal_gen.runtime.req import Req

    load_plugins()
    apply_plugin_hooks()
    modules = {"transformer": transformer, "scheduler": Euler(mu=False)}
    pipeline = pipelines_core.build_pipeline(SimpleNamespace(model_path="tiny", modules=modules))

    def serve(latents: torch.Tensor, sigmas: list[float]) -> torch.Tensor:
        request = Req(latents, len(sigmas), height=64, width=64, sigmas=sigmas)
        request.enable_teacache = cache
        return pipeline.forward(request).latents

    return serve


HOSTS = (
    Host(
        "vLLM-Omni",
        "the plug-in, in a fake of its plug-in loader, model runner and pipeline; never the server",
        _started(_vllm_omni),
        ("diffusers", "torch"),
        cached=_started(partial(_vllm_omni, cache="cache_dit")),
    ),
    Host(
        "SGLang-Diffusion",
        "the plug-in, in a fake of its hooks, stages and Euler scheduler; never the server",
        _started(_sglang),
        ("diffusers", "torch"),
        cached=_started(partial(_sglang, cache=True)),
    ),
)
