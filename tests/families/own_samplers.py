"""Pipelines whose scheduler is one of their own."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.families.case import Case, Refusal, seeded
from tests.families.later import FlowMapEulerDiscreteScheduler, HeliosDMDScheduler, HeliosScheduler
from tests.families.text_to_image import WIDTH, quiet

SIZES: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": WIDTH,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 1,
}
HELIOS: dict[str, Any] = {"rope_dim": (4, 4, 4), **SIZES}


def _built(name: str, model: str, scheduler: Any, sizes: dict[str, Any]) -> Any:
    transformer = getattr(diffusers, f"{model}Transformer3DModel")(**sizes)
    parts = {"vae": None, "text_encoder": None, "tokenizer": None}
    cls = getattr(diffusers, f"{name}Pipeline")
    return quiet(cls(transformer=transformer, scheduler=scheduler, **parts))


def _refusal(
    name: str, model: str, scheduler: type[Any], sizes: dict[str, Any], family: str, reason: str
) -> Refusal:
    return Refusal(
        f"{name}Pipeline",
        lambda: seeded(lambda: _built(name, model, scheduler(), sizes)),
        lambda steps: {"num_inference_steps": steps},
        family,
        error="UnsupportedSchedulerError",
        match=scheduler.__name__,
        reason=reason,
        steps=4,
    )


FLOW_MAP = "the model gives a step's average velocity itself, distilled to a few steps"

CASES: tuple[Case, ...] = ()
REFUSALS = (
    _refusal("AnyFlow", "AnyFlow", FlowMapEulerDiscreteScheduler, SIZES, "AnyFlow", FLOW_MAP),
    _refusal("AnyFlowFAR", "AnyFlowFAR", FlowMapEulerDiscreteScheduler, SIZES, "AnyFlow", FLOW_MAP),
    _refusal(
        "Helios",
        "Helios",
        HeliosScheduler,
        HELIOS,
        "Helios",
        "a sampler of its own, and the video's sections are sampled one after another",
    ),
    _refusal(
        "HeliosPyramid",
        "Helios",
        HeliosDMDScheduler,
        HELIOS,
        "Helios",
        "distilled to a few steps, each of which adds fresh noise",
    ),
)
