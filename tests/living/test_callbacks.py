"""Callbacks at the end of a step: they may edit latents, and interrupt the run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from meancache_runtime import attach
from tests.families.by_sampler import followed_by_hand
from tests.families.case import Case, run
from tests.living.two_pipelines import every_pipeline
from tests.plans import BUDGET, PLAN, SCHEDULE, STEPS


class Edit:
    """Mixes noise into the latents after some steps; keeps what it was given and gave back."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps
        self.seen: list[torch.Tensor] = []

    def __call__(self, _pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        latents = tensors["latents"]
        self.seen.append(latents)
        if step not in self.steps:
            return tensors
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(step))
        return {"latents": 0.7 * latents + 0.5 * noise}


@pytest.mark.parametrize("steps", [(1, 4), (STEPS - 1,), range(STEPS)], ids=["two", "last", "all"])
@every_pipeline
def test_replay_goes_on_from_the_latents_that_a_callback_gives_back(
    case: Case, steps: tuple[int, ...]
) -> None:
    """The edited steps 1 and 4 are a knot's own step and one between knots 3 and 6."""
    pipe, by_hand, attached = case.build(), Edit(*steps), Edit(*steps)
    with followed_by_hand(type(pipe.scheduler), PLAN):
        (expected,) = run(pipe, case.call(STEPS) | {"callback_on_step_end": by_hand})
    with attach(pipe, SCHEDULE) as attachment:
        (replayed,) = run(pipe, case.call(STEPS) | {"callback_on_step_end": attached})
        (unedited,) = run(pipe, case.call(STEPS))
    torch.testing.assert_close(attached.seen, by_hand.seen, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(replayed, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(replayed, unedited, rtol=1e-2)
    assert attachment.stats.denoiser_calls == BUDGET * case.branches


@pytest.mark.parametrize("at", [0, 1, 4, STEPS - 1])
@every_pipeline
def test_after_an_interrupted_run_the_next_is_whole(case: Case, at: int) -> None:
    def stop(pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = step == at
        return tensors

    pipe = case.build()
    with attach(pipe, SCHEDULE) as attachment:
        (whole,) = run(pipe, case.call(STEPS))
        run(pipe, case.call(STEPS) | {"callback_on_step_end": stop})
        stats = attachment.stats
        assert stats.refreshes + stats.cached_steps == at + 1
        assert torch.equal(run(pipe, case.call(STEPS))[0], whole)
        assert attachment.stats.denoiser_calls == BUDGET * case.branches
