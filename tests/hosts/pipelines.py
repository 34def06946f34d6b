"""diffusers' pipelines: a plan that is attached to one, and one that is its scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from meancache_runtime import MeanCacheScheduler, attach
from meancache_runtime.schedule import Schedule
from tests.hosts.host import Host, Latents, Model, Run
from tests.tiny import SIDE, WIDTH, tiny_flux


def _pipeline(model: Model) -> Any:
    """A tiny FluxPipeline whose transformer's answers are the model's."""
    pipe = tiny_flux()
    pipe.scheduler = FlowMatchEulerDiscreteScheduler()

    def forward(hidden_states: Any, timestep: Any, **_: Any) -> tuple[Any]:
        return (model(hidden_states, float(timestep[0])),)

    pipe.transformer.forward = forward
    return pipe


def _call(pipe: Any, noise: Latents, sigmas: Sequence[float]) -> Latents:
    """The usual call, on noise levels of one's own; of two prompts."""
    found = pipe(
        prompt_embeds=torch.zeros(2, 4, WIDTH),
        pooled_prompt_embeds=torch.zeros(2, WIDTH),
        latents=torch.from_numpy(noise).float().reshape(2, 16, 16),
        num_inference_steps=len(sigmas) - 1,
        sigmas=list(sigmas[:-1]),
        height=SIDE,
        width=SIDE,
        output_type="latent",
    ).images
    return found.reshape(-1).numpy().astype(np.float64)


def _attach(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    pipe = _pipeline(model)
    attach(pipe, schedule, budget=budget)
    return lambda noise, sigmas: _call(pipe, noise, sigmas)


def _cached(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    pipe = _pipeline(model)
    pipe.transformer._is_cached = True  # as cache-dit marks a model
    attach(pipe, schedule, budget=budget)
    return lambda noise, sigmas: _call(pipe, noise, sigmas)


def _scheduler(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    pipe = _pipeline(model)
    pipe.scheduler = MeanCacheScheduler.from_schedule(pipe.scheduler, schedule, budget=budget)
    return lambda noise, sigmas: _call(pipe, noise, sigmas)


HOSTS = (
    Host(
        "diffusers, `attach`",
        "`FluxPipeline` with `attach`",
        _attach,
        ("diffusers", "torch"),
        cached=_cached,
    ),
    Host(
        "diffusers, `MeanCacheScheduler`",
        "`FluxPipeline` whose scheduler is the plan",
        _scheduler,
        ("diffusers", "torch"),
    ),
)
