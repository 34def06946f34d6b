"""The latents that a run ends in, of pipelines that tell them and of those that do not."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime import attach
from meancache_runtime.hosts.diffusers.intercept import overheard
from tests.families import hunyuan_video, ltx2
from tests.families.case import Case
from tests.families.case import run as call
from tests.runtime import by_hand

STEPS, KNOTS = 4, (0, 1, 3)
PLAN = by_hand.schedule(STEPS, KNOTS)
SILENT = [case for case in hunyuan_video.CASES if "15" in case.name]
"""Pipelines without ``callback_on_step_end``."""

with_and_without = pytest.mark.parametrize("attached", [False, True], ids=["plain", "attached"])
every_silent = pytest.mark.parametrize("case", SILENT, ids=lambda case: case.name)


class Embedded(Pipeline):
    """A case's pipeline: embeddings stand for its prompts."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.build(), Recipe(steps=STEPS, dtype="float32"), case.name)
        self.options = case.call(STEPS)

    def run(self, prompt: Any, seed: Any, *, steps: int | None = None, **extra: Any) -> Any:
        generator = torch.Generator().manual_seed(seed[0] if isinstance(seed, list) else seed)
        with torch.no_grad():
            return self.pipe(**{**self.options, **extra}, generator=generator)


def maybe_attached(pipe: Any, attached: bool) -> Any:
    return attach(pipe, PLAN) if attached else nullcontext()


@every_silent
@with_and_without
def test_final_latents_are_what_the_pipeline_itself_returns(case: Case, attached: bool) -> None:
    pipeline = Embedded(case)
    before = pipeline.pipe.scheduler, type(pipeline.pipe)
    with maybe_attached(pipeline.pipe, attached):
        (expected,) = call(pipeline.pipe, case.call(STEPS), seed=3)
        found = pipeline.final_latents(["a"], [3])
        assert torch.equal(found, expected)
        assert torch.equal(call(pipeline.pipe, case.call(STEPS), seed=3)[0], expected)
    assert (pipeline.pipe.scheduler, type(pipeline.pipe)) == before
    assert "step" not in vars(pipeline.pipe.scheduler)


@pytest.mark.parametrize("case", SILENT[:1], ids=lambda case: case.name)
@with_and_without
def test_a_sample_has_the_latents_that_its_pictures_are_of(case: Case, attached: bool) -> None:
    pipeline = Embedded(case)
    with maybe_attached(pipeline.pipe, attached):
        (expected,) = call(pipeline.pipe, case.call(STEPS), seed=3)
        sample = pipeline.generate("a", 3)
    assert torch.equal(sample.latents, expected.float())
    assert sample.frames.shape[0] == case.call(STEPS)["num_frames"]


@with_and_without
def test_of_two_schedulers_the_pipelines_own_is_overheard(attached: bool) -> None:
    case = ltx2.CASES[0]
    pipe, told, stepped = case.build(), list[Any](), list[Any]()

    def at_end(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        told.append(tensors["latents"])
        return tensors

    options = {**case.call(STEPS), "callback_on_step_end": at_end}
    with maybe_attached(pipe, attached), overheard(pipe, "scheduler", "step", stepped.append):
        call(pipe, options)
    assert len(told) == len(stepped) == STEPS
    for latents, result in zip(told, stepped, strict=True):
        assert torch.equal(latents, result[0])


def test_an_error_in_an_overheard_run_leaves_nothing_behind() -> None:
    pipe = SILENT[0].build()
    with attach(pipe, PLAN):
        step = pipe.scheduler.step

        def listen(_: Any) -> None:
            raise RuntimeError("broken on purpose")

        with (
            pytest.raises(RuntimeError, match="on purpose"),
            overheard(pipe, "scheduler", "step", listen),
        ):
            call(pipe, SILENT[0].call(STEPS))
        assert pipe.scheduler.step is step
