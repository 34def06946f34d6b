"""What users of other caches reported, tried on ours where no other test does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributed.fsdp import FSDPModule

from meancache_runtime import attach
from meancache_runtime.errors import StepCountError
from meancache_runtime.hosts.diffusers.identity import fingerprint
from tests.plans import SCHEDULE, STEPS
from tests.runtime.hosts.diffusers.tiny_runs import run


@pytest.mark.parametrize("steps", [1, STEPS - 2, STEPS + 20])
def test_a_request_of_other_steps_is_refused_and_leaves_nothing_for_the_next(
    tiny_flux: Any, steps: int
) -> None:
    with attach(tiny_flux, SCHEDULE):
        first = run(tiny_flux)
        with pytest.raises(StepCountError, match=f"made for {STEPS}"):
            run(tiny_flux, num_inference_steps=steps)
        assert torch.equal(run(tiny_flux), first)


def test_steps_left_to_the_pipeline_are_refused_and_its_own_levels_may_be_given(
    tiny_flux: Any,
) -> None:
    with attach(tiny_flux, SCHEDULE):
        first = run(tiny_flux)
        with pytest.raises(StepCountError):
            run(tiny_flux, num_inference_steps=28)
        levels = [1 - i / STEPS for i in range(STEPS)]
        assert torch.equal(run(tiny_flux, sigmas=levels), first)


def test_nothing_of_the_prompts_before_is_left_in_a_request(tiny_flux: Any) -> None:
    with attach(tiny_flux, SCHEDULE):
        first = run(tiny_flux, "a cat")
        run(tiny_flux, "a dog that is far longer than all of the prompts before and after it")
        assert torch.equal(run(tiny_flux, "a cat"), first)


def test_a_training_step_through_the_denoiser_passes_while_a_plan_is_attached(
    tiny_flux: Any,
) -> None:
    inputs: dict[str, Any] = {}

    def remember(_module: Any, _args: Any, keywords: dict[str, Any]) -> None:
        inputs.update(keywords)

    hook = tiny_flux.transformer.register_forward_pre_hook(remember, with_kwargs=True)
    with attach(tiny_flux, SCHEDULE) as attached:
        first = run(tiny_flux)
        hook.remove()
        calls = attached.stats.denoiser_calls
        tiny_flux.transformer(**inputs)[0].square().mean().backward()
        assert attached.stats.denoiser_calls == calls
        assert tiny_flux.transformer.proj_out.weight.grad is not None
        assert torch.equal(run(tiny_flux), first)


def test_a_denoiser_that_fsdp_shares_is_the_same_model(tiny_flux: Any) -> None:
    known, module = fingerprint(tiny_flux), tiny_flux.transformer
    own = type(module)
    module.__class__ = type(f"FSDP{own.__name__}", (FSDPModule, own), {})  # as fully_shard does
    assert fingerprint(tiny_flux) == known
    module.__class__ = own
