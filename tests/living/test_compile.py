"""Compiled denoisers: attached they give the same, and nothing is compiled again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from meancache_runtime import MeanCacheScheduler, attach
from meancache_runtime.errors import ReplacedComponentError
from tests.families.case import Case, run
from tests.living.two_pipelines import CASES, every_pipeline
from tests.plans import BUDGET, SCHEDULE, STEPS

pytestmark = pytest.mark.early(4)


def _whole(pipe: Any, backend: Any) -> None:
    pipe.transformer = torch.compile(pipe.transformer, backend=backend, fullgraph=True)


def _in_place(pipe: Any, backend: Any) -> None:
    pipe.transformer.compile(backend=backend, fullgraph=True)


def _blocks(pipe: Any, backend: Any) -> None:
    pipe.transformer.compile_repeated_blocks(backend=backend, fullgraph=True)


every_form = pytest.mark.parametrize(
    "compiled",
    [_whole, _in_place, _blocks],
    ids=["torch.compile(transformer)", "transformer.compile()", "compile_repeated_blocks()"],
)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@every_form
@every_pipeline
def test_a_compiled_denoiser_replays_the_same_and_compiles_in_its_first_run_alone(
    case: Case, compiled: Callable[[Any, Any], None]
) -> None:
    pipe, counter = case.build(), CompileCounterWithBackend("eager")
    with attach(pipe, SCHEDULE):
        (expected,) = run(pipe, case.call(STEPS))
    compiled(pipe, counter)
    with attach(pipe, SCHEDULE) as attached:
        (first,) = run(pipe, case.call(STEPS))
        graphs = counter.frame_count
        (second,) = run(pipe, case.call(STEPS))
    assert graphs > 0
    assert counter.frame_count == graphs
    assert attached.stats.denoiser_calls == BUDGET * case.branches
    torch.testing.assert_close(first, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(second, first)


@every_form
def test_a_compiled_denoiser_serves_a_pipeline_whose_scheduler_is_the_plan(
    compiled: Callable[[Any, Any], None],
) -> None:
    case, counter = CASES[0], CompileCounterWithBackend("eager")
    pipe = case.build()
    with attach(pipe, SCHEDULE):
        (expected,) = run(pipe, case.call(STEPS))
    pipe.scheduler = MeanCacheScheduler.from_schedule(pipe.scheduler, SCHEDULE, budget=BUDGET)
    compiled(pipe, counter)
    (first,) = run(pipe, case.call(STEPS))
    graphs = counter.frame_count
    (second,) = run(pipe, case.call(STEPS))
    assert 0 < graphs == counter.frame_count
    torch.testing.assert_close(first, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(second, first)


@every_form
def test_attaching_and_detaching_compile_nothing_beyond_the_plain_pipeline(
    compiled: Callable[[Any, Any], None],
) -> None:
    case = CASES[0]
    pipe, counter = case.build(), CompileCounterWithBackend("eager")
    compiled(pipe, counter)
    denoiser = pipe.transformer
    (plain,) = run(pipe, case.call(STEPS))
    graphs = counter.frame_count
    assert graphs > 0
    with attach(pipe, SCHEDULE):
        run(pipe, case.call(STEPS))
    (after,) = run(pipe, case.call(STEPS))
    assert counter.frame_count == graphs
    assert pipe.transformer is denoiser
    assert torch.equal(after, plain)


@pytest.mark.parametrize("compiled", [_in_place, _blocks], ids=["whole", "blocks"])
def test_compiling_in_place_while_attached_is_honoured(
    compiled: Callable[[Any, Any], None],
) -> None:
    case, counter = CASES[0], CompileCounterWithBackend("eager")
    pipe = case.build()
    with attach(pipe, SCHEDULE) as attached:
        (expected,) = run(pipe, case.call(STEPS))
        compiled(pipe, counter)
        (replayed,) = run(pipe, case.call(STEPS))
    assert counter.frame_count > 0
    assert attached.stats.denoiser_calls == BUDGET
    torch.testing.assert_close(replayed, expected, rtol=1e-5, atol=1e-6)


def test_replacing_the_denoiser_by_a_compiled_one_while_attached_is_refused_and_undone() -> None:
    case = CASES[0]
    pipe = case.build()
    (plain,) = run(pipe, case.call(STEPS))
    with attach(pipe, SCHEDULE):
        _whole(pipe, "eager")
        with pytest.raises(ReplacedComponentError, match=r"pipe\.transformer.*detach\(\)"):
            run(pipe, case.call(STEPS))
    assert torch.equal(run(pipe, case.call(STEPS))[0], plain)
    _whole(pipe, "eager")
    with attach(pipe, SCHEDULE) as attached:
        run(pipe, case.call(STEPS))
    assert attached.stats.denoiser_calls == BUDGET
