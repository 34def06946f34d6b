"""Pipelines that share components with an attached one, in threads, and in other processes."""

from __future__ import annotations

import pickle
import threading
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from diffusers import FluxImg2ImgPipeline
from PIL import Image

from meancache_runtime import attach
from meancache_runtime.errors import AttachError, StepCountError
from tests.families.case import Case, run
from tests.living.two_pipelines import CASES, every_pipeline
from tests.plans import BUDGET, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import follow
from tests.tiny import SIDE, call_options

OTHER = by_hand.schedule(STEPS, (0, 2))


def sharing(case: Case, pipe: Any, *names: str) -> Any:
    """Another pipeline with equal weights that shares the named components."""
    other = case.build()
    for name in names:
        setattr(other, name, getattr(pipe, name))
    return other


def picture(pipe: Any) -> torch.Tensor:
    """Latents of a full image-to-image run, which starts in mid-grid."""
    options = call_options(STEPS) | {"image": Image.new("RGB", (SIDE, SIDE)), "strength": 0.5}
    with torch.no_grad():
        return pipe("a cat", **options).images


@pytest.mark.parametrize("made", ["before", "while attached"])
def test_a_pipeline_made_from_an_attached_one_is_a_plain_pipeline(made: str) -> None:
    case = CASES[0]
    pipe = case.build()
    plain = FluxImg2ImgPipeline(**case.build().components)
    plain.set_progress_bar_config(disable=True)
    expected = picture(plain)
    other = FluxImg2ImgPipeline.from_pipe(pipe) if made == "before" else None
    with attach(pipe, SCHEDULE) as attached:
        (cached,) = run(pipe, case.call(STEPS))
        other = other or FluxImg2ImgPipeline.from_pipe(pipe)
        other.set_progress_bar_config(disable=True)
        assert torch.equal(picture(other), expected)
        assert torch.equal(run(pipe, case.call(STEPS))[0], cached)
        assert attached.stats.denoiser_calls == BUDGET
    assert torch.equal(picture(other), expected)
    assert other.transformer is pipe.transformer
    assert other.scheduler is pipe.scheduler


@pytest.mark.parametrize("names", [("transformer",), ("scheduler",), ("transformer", "scheduler")])
@every_pipeline
def test_a_pipeline_that_shares_components_is_not_affected(
    case: Case, names: tuple[str, ...]
) -> None:
    pipe = case.build()
    other = sharing(case, pipe, *names)
    (full,) = run(other, case.call(STEPS))
    with attach(pipe, SCHEDULE) as attached:
        (cached,) = run(pipe, case.call(STEPS))
        assert torch.equal(run(other, case.call(STEPS))[0], full)
        assert torch.equal(run(other, case.call(3))[0], run(case.build(), case.call(3))[0])
        assert torch.equal(run(pipe, case.call(STEPS))[0], cached)
        assert attached.stats.denoiser_calls == BUDGET * case.branches
    assert torch.equal(run(pipe, case.call(STEPS))[0], full)


@every_pipeline
def test_two_attached_pipelines_that_share_components_follow_their_own_plans(case: Case) -> None:
    pipe = case.build()
    other = sharing(case, pipe, "transformer", "scheduler")
    first, second = attach(pipe, SCHEDULE), attach(other, OTHER)
    (a,), (b,) = run(pipe, case.call(STEPS)), run(other, case.call(STEPS))
    assert not torch.equal(a, b)
    assert torch.equal(run(pipe, case.call(STEPS))[0], a)
    assert torch.equal(run(other, case.call(STEPS))[0], b)
    calls = (first.stats.denoiser_calls, second.stats.denoiser_calls)
    assert calls == (BUDGET * case.branches, 2 * case.branches)
    first.detach()
    assert torch.equal(run(other, case.call(STEPS))[0], b)
    second.detach()
    assert other.transformer is pipe.transformer
    assert torch.equal(run(other, case.call(STEPS))[0], run(pipe, case.call(STEPS))[0])


@every_pipeline
def test_runs_may_be_nested_where_the_scheduler_is_not_shared(case: Case) -> None:
    pipe = case.build()
    other = sharing(case, pipe, "transformer")
    with attach(pipe, SCHEDULE) as first, attach(other, OTHER):
        (a,), (b,) = run(pipe, case.call(STEPS)), run(other, case.call(STEPS))
        inside: list[torch.Tensor] = []

        def nest(_pipe: Any, _step: int, _t: Any, tensors: Any) -> Any:
            inside.extend(run(other, case.call(STEPS)))
            return tensors

        assert torch.equal(run(pipe, case.call(STEPS) | {"callback_on_step_end": nest})[0], a)
        assert first.stats.denoiser_calls == BUDGET * case.branches
    assert len(inside) == STEPS
    assert all(torch.equal(latents, b) for latents in inside)


@every_pipeline
def test_threads_with_a_pipeline_each_may_share_the_transformer(case: Case) -> None:
    """Two attached pipelines and a plain one give in threads what they give in turn."""
    pipe = case.build()
    pipes = [pipe, sharing(case, pipe, "transformer"), sharing(case, pipe, "transformer")]
    attachments = [attach(p, s) for p, s in zip(pipes, (SCHEDULE, OTHER), strict=False)]
    expected = [run(p, case.call(STEPS))[0] for p in pipes]
    results: list[list[torch.Tensor]] = [[], [], []]
    barrier = threading.Barrier(3)

    def work(i: int) -> None:
        barrier.wait(30)
        results[i] += [run(pipes[i], case.call(STEPS))[0] for _ in range(4)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for attachment in attachments:
        attachment.detach()
    for got, latents in zip(results, expected, strict=True):
        assert len(got) == 4
        assert all(torch.equal(g, latents) for g in got)


def test_requests_that_take_turns_with_one_scheduler_are_refused_and_the_next_is_whole() -> None:
    """One scheduler that is the plan, and two pipelines: it follows one run at a time."""
    case = CASES[0]
    pipe = case.build()
    follow(pipe)
    other = sharing(case, pipe, "transformer", "scheduler")
    (expected,) = run(pipe, case.call(STEPS))

    def turn(_pipe: Any, step: int, _t: Any, tensors: Any) -> Any:
        if step == 1:
            run(other, case.call(STEPS))
        return tensors

    with pytest.raises(StepCountError, match="call set_timesteps before a run"):
        run(pipe, case.call(STEPS) | {"callback_on_step_end": turn})
    assert torch.equal(run(pipe, case.call(STEPS))[0], expected)


@pytest.mark.parametrize("by", ["attach", "MeanCacheScheduler"])
@every_pipeline
def test_a_pipeline_sent_to_another_process_follows_its_plan_there(case: Case, by: str) -> None:
    """Pickled with its scheduler, or pickled plain and with the schedule beside it."""
    pipe = case.build()
    with attach(pipe, SCHEDULE):
        (expected,) = run(pipe, case.call(STEPS))
        with pytest.raises(AttachError, match=r"detach\(\) before it is copied or pickled"):
            pickle.dumps(pipe)
    if by == "MeanCacheScheduler":
        follow(pipe)
        (expected,) = run(pipe, case.call(STEPS))
    sent, schedule = pickle.loads(pickle.dumps((pipe, SCHEDULE)))
    with attach(sent, schedule) if by == "attach" else nullcontext():
        assert torch.equal(run(sent, case.call(STEPS))[0], expected)
