"""Guiders of diffusers in an attached pipeline: with branches, with hooks, with a memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import diffusers.guiders
import pytest
import torch
from diffusers.guiders import BaseGuidance
from diffusers.hooks import LayerSkipConfig

from meancache_runtime import attach
from tests.families.by_sampler import followed_by_hand, repeating
from tests.families.case import run
from tests.families.guiders import CASES
from tests.living import test_modular
from tests.plans import FULL, PLAN, SCHEDULE, STEPS

CASE = CASES[0]  # Motif-Video
FIRST = {"indices": [0], "fqn": "transformer_blocks"}

GUIDERS: dict[str, tuple[dict[str, Any], int]] = {
    "AdaptiveProjectedMixGuidance": ({}, 8),
    "AutoGuidance": ({"auto_guidance_config": LayerSkipConfig(**FIRST, dropout=1.0)}, 8),
    "ClassifierFreeZeroStarGuidance": ({}, 8),
    "LTX2Guidance": ({"guidance_scale": 3.0}, 8),
    "SkipLayerGuidance": (
        {
            "skip_layer_config": LayerSkipConfig(**FIRST),
            "skip_layer_guidance_start": 0.0,
            "skip_layer_guidance_stop": 1.0,
        },
        11,
    ),
}
"""Its settings, and the denoiser's calls at 4 knots, of which the first has no third branch."""

REMEMBERS = "AdaptiveProjectedMixGuidance"
"""Its momentum takes the last refresh's outputs again at cached steps."""

UNTRIED = ("FrequencyDecoupledGuidance",)  # it needs kornia


@pytest.mark.parametrize("name", GUIDERS)
def test_a_plan_is_followed_as_by_hand_and_no_bit_changes_with_a_knot_at_every_step(
    name: str,
) -> None:
    settings, calls = GUIDERS[name]
    pipe = CASE.build()
    pipe.register_modules(guider=getattr(diffusers.guiders, name)(**settings))
    (plain,) = run(pipe, CASE.call(STEPS))
    memory = repeating(pipe, PLAN) if name == REMEMBERS else nullcontext()
    with followed_by_hand(type(pipe.scheduler), PLAN), memory:
        (expected,) = run(pipe, CASE.call(STEPS))
    with attach(pipe, SCHEDULE) as attached:
        (replayed,) = run(pipe, CASE.call(STEPS))
    assert attached.stats.denoiser_calls == calls
    torch.testing.assert_close(replayed, expected, rtol=1e-4, atol=1e-5)
    with attach(pipe, FULL):
        assert torch.equal(run(pipe, CASE.call(STEPS))[0], plain)
    assert torch.equal(run(pipe, CASE.call(STEPS))[0], plain)


def test_every_guider_of_diffusers_is_tried_somewhere() -> None:
    every = {cls.__name__ for cls in vars(diffusers.guiders).values() if _is_guider(cls)}
    modular = {type(make()).__name__ for make, _ in test_modular.GUIDERS.values()}
    assert every == {*GUIDERS, *UNTRIED, *modular}


def _is_guider(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseGuidance) and value != BaseGuidance
