"""ControlNets: nothing reads their output between knots, so they need not run there."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from diffusers import FluxControlNetModel
from diffusers.models.controlnets.controlnet_flux import FluxMultiControlNetModel

from meancache_runtime import attach
from meancache_runtime.errors import ReplacedComponentError
from meancache_runtime.hosts.diffusers.identity import fingerprint
from tests.counting import count_calls
from tests.families.by_sampler import followed_by_hand
from tests.families.case import run
from tests.plans import KNOTS, PLAN, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import CONTROLNET, two_controlnets


def call(pipe: Any) -> dict[str, Any]:
    options = CONTROLNET.call(STEPS)
    if isinstance(pipe.controlnet, FluxMultiControlNetModel):
        options |= {
            "control_image": [options["control_image"]] * 2,
            "controlnet_conditioning_scale": [0.6, 0.3],
        }
    return options


@pytest.mark.parametrize("build", [CONTROLNET.build, two_controlnets], ids=["one", "several"])
def test_it_runs_at_knots_only_and_changes_nothing_else(build):
    pipe = build()
    calls = count_calls(pipe.controlnet)
    with followed_by_hand(type(pipe.scheduler), PLAN):
        (expected,) = run(pipe, call(pipe))
    assert len(calls) == STEPS
    calls.clear()
    with attach(pipe, SCHEDULE) as attached:
        (replayed,) = run(pipe, call(pipe))
    assert (replayed - expected).norm() <= 1e-5 * expected.norm()
    assert len(calls) == len(KNOTS)
    assert attached.stats.denoiser_calls == len(KNOTS)


@pytest.mark.parametrize("build", [CONTROLNET.build, two_controlnets], ids=["one", "several"])
def test_every_step_a_knot_changes_no_bit(build):
    pipe = build()
    (plain,) = run(pipe, call(pipe))
    with attach(pipe, by_hand.schedule(STEPS, range(STEPS))):
        assert torch.equal(run(pipe, call(pipe))[0], plain)


def test_it_is_no_part_of_the_fingerprint():
    pipe = CONTROLNET.build()
    before = fingerprint(pipe)
    pipe.controlnet.register_to_config(num_layers=3)
    assert fingerprint(pipe) == before


def test_it_still_looks_like_itself_and_comes_back():
    pipe = CONTROLNET.build()
    controlnet = pipe.controlnet
    with attach(pipe, SCHEDULE):
        assert pipe.controlnet is not controlnet
        assert isinstance(pipe.controlnet, FluxControlNetModel)
        assert pipe.controlnet.config is controlnet.config
        assert pipe.components["controlnet"] is controlnet
    assert pipe.controlnet is controlnet


def test_one_swapped_while_attached_is_refused():
    pipe = CONTROLNET.build()
    with attach(pipe, SCHEDULE):
        pipe.controlnet = CONTROLNET.build().controlnet
        with pytest.raises(ReplacedComponentError, match=r"pipe\.controlnet was replaced"):
            run(pipe, CONTROLNET.call(STEPS))


def test_no_output_of_it_is_kept_after_a_run():
    pipe = CONTROLNET.build()
    kept: list[weakref.ref[torch.Tensor]] = []
    pipe.controlnet.register_forward_hook(
        lambda _module, _inputs, output: kept.extend(weakref.ref(block) for block in output[0])
    )
    with attach(pipe, SCHEDULE):
        run(pipe, call(pipe))
        gc.collect()
        assert len(kept) >= len(KNOTS)
        assert all(block() is None for block in kept)
