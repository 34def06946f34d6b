"""ControlNets: nothing reads their output between knots, so they need not run there."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from diffusers import FluxControlNetModel, FluxControlNetPipeline
from diffusers.models.controlnets.controlnet_flux import FluxMultiControlNetModel

from meancache_runtime import attach
from meancache_runtime.errors import ReplacedComponentError
from meancache_runtime.hosts.diffusers.identity import fingerprint
from meancache_runtime.schedule import Adams, Hold, Jvp, Released
from tests.families import flux
from tests.families.by_sampler import followed_by_hand
from tests.families.case import Case, run
from tests.runtime import by_hand

STEPS = 8
KNOTS = (0, 1, 3, 6)
SCHEDULE = by_hand.schedule(STEPS, KNOTS, [Hold(), Released(2), Jvp(3), Adams((1.02, 0.7, 0.4))])
CASE: Case = next(case for case in flux.CASES if case.name == "FluxControlNetPipeline")


def several() -> FluxControlNetPipeline:
    pipe = CASE.build()
    pipe.controlnet = FluxMultiControlNetModel([pipe.controlnet, pipe.controlnet])
    return pipe


def call(pipe: Any) -> dict[str, Any]:
    options = CASE.call(STEPS)
    if isinstance(pipe.controlnet, FluxMultiControlNetModel):
        options |= {
            "control_image": [options["control_image"]] * 2,
            "controlnet_conditioning_scale": [0.6, 0.3],
        }
    return options


@pytest.mark.parametrize("build", [CASE.build, several], ids=["one", "several"])
def test_it_runs_at_knots_only_and_changes_nothing_else(build):
    pipe, calls = build(), []
    pipe.controlnet.register_forward_hook(lambda *_: calls.append(1))
    with followed_by_hand(type(pipe.scheduler), SCHEDULE.plans[0]):
        (expected,) = run(pipe, call(pipe))
    assert len(calls) == STEPS
    calls.clear()
    with attach(pipe, SCHEDULE) as attached:
        (replayed,) = run(pipe, call(pipe))
    assert (replayed - expected).norm() <= 1e-5 * expected.norm()
    assert len(calls) == len(KNOTS)
    assert attached.stats.denoiser_calls == len(KNOTS)


@pytest.mark.parametrize("build", [CASE.build, several], ids=["one", "several"])
def test_every_step_a_knot_changes_no_bit(build):
    pipe = build()
    (plain,) = run(pipe, call(pipe))
    with attach(pipe, by_hand.schedule(STEPS, range(STEPS))):
        assert torch.equal(run(pipe, call(pipe))[0], plain)


def test_it_is_no_part_of_the_fingerprint():
    pipe = CASE.build()
    before = fingerprint(pipe)
    pipe.controlnet.register_to_config(num_layers=3)
    assert fingerprint(pipe) == before


def test_it_still_looks_like_itself_and_comes_back():
    pipe = CASE.build()
    controlnet = pipe.controlnet
    with attach(pipe, SCHEDULE):
        assert pipe.controlnet is not controlnet
        assert isinstance(pipe.controlnet, FluxControlNetModel)
        assert pipe.controlnet.config is controlnet.config
        assert pipe.components["controlnet"] is controlnet
    assert pipe.controlnet is controlnet


def test_one_swapped_while_attached_is_refused():
    pipe = CASE.build()
    with attach(pipe, SCHEDULE):
        pipe.controlnet = CASE.build().controlnet
        with pytest.raises(ReplacedComponentError, match=r"pipe\.controlnet was replaced"):
            run(pipe, CASE.call(STEPS))


def test_no_output_of_it_is_kept_after_a_run():
    pipe = CASE.build()
    kept: list[weakref.ref[torch.Tensor]] = []
    pipe.controlnet.register_forward_hook(
        lambda _module, _inputs, output: kept.extend(weakref.ref(block) for block in output[0])
    )
    with attach(pipe, SCHEDULE):
        run(pipe, call(pipe))
        gc.collect()
        assert len(kept) >= len(KNOTS)
        assert all(block() is None for block in kept)
