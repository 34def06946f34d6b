"""What a run costs: FLOPs, calls, and that the pipeline is left as it was found."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from torch._dynamo.testing import CompileCounterWithBackend

from meancache_plan.judge.compare.peers import few_step_solvers, plan_peers
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.left_as_found import left_as_found
from meancache_plan.judge.sample_cost import compute, forms, make
from meancache_runtime.errors import NonFiniteError
from tests.judge.tiny_comparison import FULL, PROMPT, SCHEDULE, SEED, STEPS, tiny_pipeline


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("steps", [1, 3, 6])
def test_so_many_fewer_steps_cost_exactly_their_share_of_the_flops(
    tiny_flux: FluxPipeline, steps: int, guided: bool
) -> None:
    pipeline = tiny_pipeline(tiny_flux, guided)
    full = compute(pipeline, FULL, PROMPT, SEED)
    few = compute(pipeline, Contender("fewer", str(steps), steps), PROMPT, SEED)
    assert few.total == pytest.approx(full.total * steps / STEPS, rel=1e-12)
    assert few.whole(full) == steps / STEPS


def test_a_plan_costs_its_refreshes_and_nothing_else(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux, guided=True)
    full = compute(pipeline, FULL, PROMPT, SEED)
    for contender in plan_peers.plans("plan", SCHEDULE):
        assert contender.budget is not None
        found = compute(pipeline, contender, PROMPT, SEED)
        assert found.total == full.total * contender.budget / STEPS
        assert found.whole(full) == contender.budget / STEPS
        assert make(pipeline, contender, PROMPT, SEED).calls == 2 * contender.budget


def test_flops_of_a_call_are_those_of_its_matrix_products(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    counted = 0

    def count(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal counted
        counted += 2 * module.weight.numel() * (inputs[0].numel() // module.in_features)

    linear = [m for m in tiny_flux.transformer.modules() if isinstance(m, torch.nn.Linear)]
    handles = [module.register_forward_hook(count) for module in linear]
    found = compute(pipeline, FULL, PROMPT, SEED)
    for handle in handles:
        handle.remove()
    tokens, width, blocks = 12 + 16, 16, 1 + 2
    attention = STEPS * blocks * 2 * 2 * tokens * tokens * width
    assert found.total == counted + attention


def test_heun_costs_two_calls_a_step_but_for_the_last(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    heun = few_step_solvers.solvers(pipeline, PROMPT, [7])[0]
    assert (heun.name, heun.steps) == ("Heun", 4)
    assert make(pipeline, heun, PROMPT, SEED).calls == 7


@pytest.mark.parametrize(("guided", "calls"), [(False, 1), (True, 2)])
def test_calls_a_step_are_found(tiny_flux: FluxPipeline, guided: bool, calls: int) -> None:
    assert forms(tiny_pipeline(tiny_flux, guided), PROMPT, SEED) == (calls, 1)


def test_the_sample_is_the_one_that_the_pipeline_makes(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    made, own = make(pipeline, FULL, PROMPT, SEED), pipeline.generate(PROMPT, SEED)
    assert torch.equal(made.latents, own.latents)
    assert np.array_equal(made.frames, own.frames)
    assert made.memory is None


def test_a_sample_that_is_not_finite_is_refused(tiny_flux: FluxPipeline) -> None:
    @contextmanager
    def overflow(pipeline: Any) -> Any:
        hook = pipeline.pipe.transformer.register_forward_hook(
            lambda _m, _i, output: (output[0] * float("inf"), *output[1:])
        )
        yield
        hook.remove()

    contender = Contender("broken", "infinite", STEPS, overflow)
    with pytest.raises(NonFiniteError, match="not finite"):
        make(tiny_pipeline(tiny_flux), contender, PROMPT, SEED)


def test_whatever_is_changed_is_put_back(tiny_flux: FluxPipeline) -> None:
    transformer = tiny_flux.transformer
    block = transformer.transformer_blocks[0]
    call, scheduler = type(tiny_flux).__call__, tiny_flux.scheduler
    before = {name: set(vars(module)) for name, module in transformer.named_modules()}

    def wreck() -> None:
        with left_as_found(tiny_flux):
            block.forward = len
            block.extra = 1
            del block.norm1
            vars(tiny_flux)["scheduler"] = None
            type(tiny_flux).__call__ = len
            type(tiny_flux).extra = 2
            type(transformer).extra = 3
            raise KeyError

    with pytest.raises(KeyError):
        wreck()
    assert type(tiny_flux).__call__ is call
    assert tiny_flux.scheduler is scheduler
    assert {name: set(vars(module)) for name, module in transformer.named_modules()} == before
    for owner in (block, type(tiny_flux), type(transformer)):
        assert not hasattr(owner, "extra")
    assert next(iter(dict(block.named_children()))) == "norm1"


def test_a_compiled_denoiser_is_compiled_no_more_often_for_being_watched(
    tiny_flux: FluxPipeline,
) -> None:
    torch.compiler.reset()
    counter = CompileCounterWithBackend("eager")
    tiny_flux.transformer.compile(backend=counter, fullgraph=True)
    pipeline = tiny_pipeline(tiny_flux)
    calls = [make(pipeline, FULL, PROMPT, SEED).calls for _ in range(2)]
    assert calls == [STEPS, STEPS]
    assert counter.frame_count == 1
