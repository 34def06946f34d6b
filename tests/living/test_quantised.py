"""Denoisers that are not as they were built: quantised, or with hooks of accelerate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import nn

from meancache_runtime import attach
from meancache_runtime.hosts.diffusers.identity import fingerprint
from meancache_runtime.schedule import Model
from tests.families.by_sampler import followed_by_hand
from tests.families.case import Case, run
from tests.living.two_pipelines import every_pipeline
from tests.plans import BUDGET, PLAN, SCHEDULE, STEPS


def _dynamic(module: nn.Module) -> nn.Module:
    """torch's own: every linear layer by one of 8 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of torchao
        return torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)


def _torchao(module: nn.Module) -> nn.Module:
    """torchao's: every linear layer's weight by a tensor of 8 bits."""
    quantization = pytest.importorskip("torchao.quantization", exc_type=ImportError)
    quantization.quantize_(module, quantization.Int8WeightOnlyConfig())
    return module


@pytest.mark.parametrize("quantise", [_dynamic, _torchao], ids=["torch.ao", "torchao"])
@every_pipeline
def test_a_quantised_denoiser_replays_as_by_hand_and_is_not_touched(
    case: Case, quantise: Callable[[nn.Module], nn.Module]
) -> None:
    pipe = case.build()
    model = Model("owner/model", None, fingerprint(pipe), type(pipe).__name__, None, ())
    (unquantised,) = run(pipe, case.call(STEPS))
    pipe.transformer = quantise(pipe.transformer)
    found = pipe.transformer, [type(module) for module in pipe.transformer.modules()]
    (plain,) = run(pipe, case.call(STEPS))
    assert not torch.equal(plain, unquantised)
    with followed_by_hand(type(pipe.scheduler), PLAN):
        (expected,) = run(pipe, case.call(STEPS))
    with attach(pipe, replace(SCHEDULE, model=model)) as attached:
        (replayed,) = run(pipe, case.call(STEPS))
    assert attached.stats.denoiser_calls == BUDGET * case.branches
    torch.testing.assert_close(replayed, expected, rtol=1e-4, atol=1e-5)
    assert pipe.transformer is found[0]
    assert [type(module) for module in pipe.transformer.modules()] == found[1]
    assert torch.equal(run(pipe, case.call(STEPS))[0], plain)


class Count(ModelHook):
    """Counts a module's calls, and halves what it gives."""

    def __init__(self) -> None:
        self.calls = 0

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return args, kwargs

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        return (0.5 * output[0],)


@every_pipeline
def test_a_hook_of_accelerate_sees_every_refresh_and_stays(case: Case) -> None:
    pipe, hook = case.build(), Count()
    add_hook_to_module(pipe.transformer, hook)
    forward = pipe.transformer.forward
    with followed_by_hand(type(pipe.scheduler), PLAN):
        (expected,) = run(pipe, case.call(STEPS))
    hook.calls = 0
    with attach(pipe, SCHEDULE):
        (replayed,) = run(pipe, case.call(STEPS))
    assert hook.calls == BUDGET * case.branches
    torch.testing.assert_close(replayed, expected, rtol=1e-4, atol=1e-5)
    assert pipe.transformer._hf_hook is hook
    assert pipe.transformer.forward is forward


@every_pipeline
def test_a_denoiser_dispatched_by_accelerate_replays_the_same(case: Case) -> None:
    pipe = case.build()
    with attach(pipe, SCHEDULE):
        (expected,) = run(pipe, case.call(STEPS))
    places = {name: "cpu" for name, _ in pipe.transformer.named_children()}
    pipe.transformer = dispatch_model(pipe.transformer, places, force_hooks=True)
    with attach(pipe, SCHEDULE) as attached:
        assert torch.equal(run(pipe, case.call(STEPS))[0], expected)
    assert attached.stats.denoiser_calls == BUDGET * case.branches
    assert pipe.transformer.hf_device_map == places
