"""diffusers' own caches inside the denoiser: their hooks work on, and see the refreshes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import (
    FirstBlockCacheConfig,
    MagCacheConfig,
    PyramidAttentionBroadcastConfig,
    TaylorSeerCacheConfig,
)

from meancache_runtime import attach
from tests.families.by_sampler import followed_by_hand
from tests.families.case import Case, run
from tests.living.pipelines import BUDGET, CASES, KNOTS, PLAN, SCHEDULE, STEPS, every_pipeline

CACHES: dict[str, Callable[[Any], Any]] = {
    "FirstBlockCache": lambda _pipe: FirstBlockCacheConfig(threshold=0.5),
    "TaylorSeer": lambda _pipe: TaylorSeerCacheConfig(
        cache_interval=2, disable_cache_before_step=1, max_order=1
    ),
    "MagCache": lambda _pipe: MagCacheConfig(
        num_inference_steps=STEPS, mag_ratios=[1.0] * STEPS, threshold=0.2
    ),
    "PyramidAttentionBroadcast": lambda pipe: PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(0, 1000),
        spatial_attention_block_identifiers=("transformer_blocks",),
        current_timestep_callback=lambda: pipe.current_timestep,
    ),
}
every_cache = pytest.mark.parametrize("cache", CACHES)


@every_cache
@every_pipeline
def test_a_cache_inside_the_denoiser_starts_every_attached_run_anew(case: Case, cache: str) -> None:
    pipe = case.build()
    with attach(pipe, SCHEDULE):
        (uncached,) = run(pipe, case.call(STEPS))
    pipe.transformer.enable_cache(CACHES[cache](pipe))
    (plain,) = run(pipe, case.call(STEPS))
    with attach(pipe, SCHEDULE) as attached:
        first, second = (run(pipe, case.call(STEPS))[0] for _ in range(2))
    assert attached.stats.denoiser_calls == BUDGET * case.branches
    assert not torch.equal(first, uncached)
    assert torch.equal(second, first)
    assert torch.equal(run(pipe, case.call(STEPS))[0], plain)


@every_cache
def test_replay_takes_what_a_denoiser_with_a_cache_gives_at_the_knots(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, the denoiser of one call a step is run at the knots alone too."""
    case = CASES[0]
    pipe, by_hand = case.build(), case.build()
    for one in (pipe, by_hand):
        one.transformer.enable_cache(CACHES[cache](one))
    with attach(pipe, SCHEDULE):
        (replayed,) = run(pipe, case.call(STEPS))
    forward, calls = by_hand.transformer.forward, iter(range(STEPS))

    def at_knots(hidden_states: torch.Tensor, **rest: Any) -> Any:
        if next(calls) in KNOTS:
            return forward(hidden_states, **rest)
        return (torch.full_like(hidden_states, torch.nan),)

    monkeypatch.setattr(by_hand.transformer, "forward", at_knots)
    with followed_by_hand(type(by_hand.scheduler), PLAN):
        (expected,) = run(by_hand, case.call(STEPS))
    torch.testing.assert_close(replayed, expected, rtol=1e-4, atol=1e-5)
