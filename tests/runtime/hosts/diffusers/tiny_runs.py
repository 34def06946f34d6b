"""Pipelines and samplers of these tests, how they are run, and what was seen behind a plan."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetPipeline,
    WanPipeline,
)
from diffusers.models.controlnets.controlnet_flux import FluxMultiControlNetModel

from meancache_runtime import MeanCacheScheduler
from tests.families import flux, wan
from tests.families.case import Case, seeded
from tests.plans import BUDGET, SCHEDULE, STEPS
from tests.tiny import call_options

CFG = {"negative_prompt": "blur", "true_cfg_scale": 2.5}
WAN = wan.CASES[0]
CONTROLNET: Case = next(case for case in flux.CASES if case.name == "FluxControlNetPipeline")
FLOW: dict[str, Any] = {
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 3.0,
}
REPLACEABLE = (
    "UniPCMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "FlowMatchHeunDiscreteScheduler",
)


def run(pipe: Any, prompt: Any = "a cat", **options: Any) -> torch.Tensor:
    """A tiny Flux pipeline's latents, of the plans' steps."""
    with torch.no_grad():
        return pipe(prompt, **call_options(STEPS) | options).images


def sampler(name: str, **options: Any) -> Any:
    """A sampler of diffusers as pipelines configure it for a flow."""
    common = {"shift": 3.0} if name.startswith("FlowMatch") else FLOW
    return getattr(diffusers, name)(**(common | options))


def two_denoisers() -> WanPipeline:
    """Wan 2.2, which switches to its second denoiser where noise is low."""
    first, second = WAN.build(), seeded(WAN.build, seed=1)
    pipe = WanPipeline(
        transformer=first.transformer,
        transformer_2=second.transformer,
        scheduler=first.scheduler,
        vae=None,
        text_encoder=None,
        tokenizer=None,
        boundary_ratio=0.875,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def two_controlnets() -> FluxControlNetPipeline:
    """Flux with a ControlNet twice."""
    pipe = CONTROLNET.build()
    pipe.controlnet = FluxMultiControlNetModel([pipe.controlnet, pipe.controlnet])
    return pipe


class Record:
    """What the denoiser and the scheduler themselves saw, behind the attachment."""

    def __init__(self, pipe: Any) -> None:
        self.outputs: list[torch.Tensor] = []
        self.received: list[torch.Tensor] = []
        self.samples: list[torch.Tensor] = []
        self._step = pipe.scheduler.step
        pipe.scheduler.step = self._observe
        pipe.transformer.register_forward_hook(
            lambda _module, _args, output: self.outputs.append(output[0].clone())
        )

    def _observe(self, model_output: Any, timestep: Any, sample: Any, **kwargs: Any) -> Any:
        self.received.append(model_output.clone())
        self.samples.append(sample.clone())
        return self._step(model_output, timestep, sample, **kwargs)


def follow(pipe: Any, schedule: Any = SCHEDULE, budget: int | None = None) -> MeanCacheScheduler:
    """Give the pipeline a scheduler that is the plan."""
    made = MeanCacheScheduler.from_schedule(
        pipe.scheduler, schedule, budget=budget or schedule.budgets[0]
    )
    pipe.scheduler = made
    return made


def following(scheduler: Any = None) -> MeanCacheScheduler:
    """A scheduler that is the plan, in no pipeline."""
    return MeanCacheScheduler.from_schedule(
        scheduler or FlowMatchEulerDiscreteScheduler(), SCHEDULE, budget=BUDGET
    )
