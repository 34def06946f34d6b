"""Runs in torch's modes: without gradients and tracking, and with gradients through the run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from torch import Tensor

from meancache_runtime import attach
from tests.families.case import Case
from tests.living.two_pipelines import every_pipeline
from tests.plans import SCHEDULE, STEPS
from tests.runtime.hosts.diffusers.tiny_runs import follow
from tests.tiny import call_options


def latents(pipe: Any, case: Case) -> Tensor:
    return pipe(**case.call(STEPS), generator=torch.Generator().manual_seed(0)).images


@every_pipeline
def test_inference_mode_changes_no_bit_and_leaves_nothing_for_runs_outside_it(case: Case) -> None:
    pipe = case.build()
    with attach(pipe, SCHEDULE):
        outside = latents(pipe, case)
        with torch.inference_mode():
            inside = latents(pipe, case)
        assert inside.is_inference()
        assert torch.equal(inside, outside)
        assert torch.equal(latents(pipe, case), outside)
    with torch.inference_mode(), attach(pipe, SCHEDULE):
        assert torch.equal(latents(pipe, case), outside)


class WithGradients(FluxPipeline):
    """Its call without ``torch.no_grad``, as people train with rewards through the sampler."""

    __call__: Any = FluxPipeline.__call__.__wrapped__  # pyright: ignore[reportFunctionMemberAccess]


@pytest.mark.parametrize("by", ["attach", "MeanCacheScheduler"])
def test_gradients_flow_through_a_run_that_follows_a_plan(tiny_flux: FluxPipeline, by: str) -> None:
    """Beside central differences, in float64."""
    pipe = WithGradients(**tiny_flux.components)
    pipe.set_progress_bar_config(disable=True)
    for module in (pipe.transformer, pipe.text_encoder, pipe.text_encoder_2):
        module.double()
    weight = pipe.transformer.proj_out.weight
    moved = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)).double()

    def loss() -> Tensor:
        return pipe("a cat", **call_options(STEPS)).images.square().mean()

    def differing(by: float) -> Tensor:
        with torch.no_grad():
            weight.add_(moved, alpha=by)
            found = loss()
            weight.sub_(moved, alpha=by)
        return found

    attached = attach(pipe, SCHEDULE) if by == "attach" else None
    if attached is None:
        follow(pipe)
    (gradient,) = torch.autograd.grad(loss(), weight)
    expected = (differing(1e-4) - differing(-1e-4)) / 2e-4
    torch.testing.assert_close((gradient * moved).sum(), expected, rtol=1e-3, atol=1e-6)
