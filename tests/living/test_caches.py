"""Another cache in the denoiser: refused whenever it comes, but for one that changes nothing."""

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
from diffusers.hooks import TextKVCacheConfig, apply_first_block_cache

from meancache_runtime import attach
from meancache_runtime.errors import StackedCacheError
from tests.families.case import Case, run
from tests.families.flux import CASES as FLUX
from tests.living.two_pipelines import CASES, every_pipeline
from tests.plans import BUDGET, SCHEDULE, STEPS


def _hidden(pipe: Any) -> None:
    """Without the model's own method, which would note it."""
    apply_first_block_cache(pipe.transformer, FirstBlockCacheConfig(threshold=0.5))


def _flagged(pipe: Any) -> None:
    """As cache-dit and ParaAttention mark a model."""
    pipe.transformer._is_cached = True


CACHES: dict[str, Callable[[Any], Any]] = {
    "FirstBlockCache": lambda pipe: pipe.transformer.enable_cache(
        FirstBlockCacheConfig(threshold=0.5)
    ),
    "TaylorSeerCache": lambda pipe: pipe.transformer.enable_cache(
        TaylorSeerCacheConfig(cache_interval=2, disable_cache_before_step=1, max_order=1)
    ),
    "MagCache": lambda pipe: pipe.transformer.enable_cache(
        MagCacheConfig(num_inference_steps=STEPS, mag_ratios=[1.0] * STEPS, threshold=0.2)
    ),
    "PyramidAttentionBroadcast": lambda pipe: pipe.transformer.enable_cache(
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(0, 1000),
            spatial_attention_block_identifiers=("transformer_blocks",),
            current_timestep_callback=lambda: pipe.current_timestep,
        )
    ),
    "fbc_": _hidden,
    "is_cached": _flagged,
}
PICTURES = [
    case
    for case in FLUX
    if case.name in ("FluxImg2ImgPipeline", "FluxKontextPipeline", "FluxKontextInpaintPipeline")
]
PICTURES.append(
    PICTURES[0].variant(
        name="FluxImg2ImgPipeline, strength 0.6",
        call=lambda steps: {**PICTURES[0].call(steps), "strength": 0.6},
    )
)
every_cache = pytest.mark.parametrize("cache", CACHES)


@every_cache
def test_a_denoiser_with_another_cache_is_refused_by_its_name(cache: str) -> None:
    pipe = CASES[0].build()
    CACHES[cache](pipe)
    with pytest.raises(StackedCacheError, match=rf"{cache}\S* answers some of the work"):
        attach(pipe, SCHEDULE)


@every_cache
def test_one_that_is_enabled_after_attaching_is_refused_before_the_denoiser_runs(
    cache: str,
) -> None:
    pipe = CASES[0].build()
    with attach(pipe, SCHEDULE) as attached:
        run(pipe, CASES[0].call(STEPS))
        CACHES[cache](pipe)
        calls = attached.stats.denoiser_calls
        with pytest.raises(StackedCacheError, match=cache):
            run(pipe, CASES[0].call(STEPS))
        assert attached.stats.denoiser_calls == calls


@every_pipeline
def test_after_it_is_turned_off_all_is_as_before(case: Case) -> None:
    """A warm run first, then a cache on and off, then ours on and off, then the other again."""
    pipe = case.build()
    (plain,) = run(pipe, case.call(STEPS))
    CACHES["FirstBlockCache"](pipe)
    (cached,) = run(pipe, case.call(STEPS))
    pipe.transformer.disable_cache()
    for _ in range(2):
        with attach(pipe, SCHEDULE) as attached:
            run(pipe, case.call(STEPS))
        assert attached.stats.denoiser_calls == BUDGET * case.branches
        assert torch.equal(run(pipe, case.call(STEPS))[0], plain)
    CACHES["FirstBlockCache"](pipe)
    assert torch.equal(run(pipe, case.call(STEPS))[0], cached)


@pytest.mark.parametrize("case", PICTURES, ids=lambda case: case.name)
def test_a_run_from_a_picture_is_as_before_too(case: Case) -> None:
    """The same where diffusers' own caches cannot run, as these pipelines give them no context."""
    pipe = case.build()
    (plain,) = run(pipe, case.call(STEPS))
    for _ in range(2):
        CACHES["FirstBlockCache"](pipe)
        with pytest.raises(ValueError, match="No cache context is set"):
            run(pipe, case.call(STEPS))
        with pytest.raises(StackedCacheError):
            attach(pipe, SCHEDULE)
        pipe.transformer.disable_cache()
        with attach(pipe, SCHEDULE) as attached:
            (first,) = run(pipe, case.call(STEPS))
            (second,) = run(pipe, case.call(STEPS))
        assert attached.stats.denoiser_calls == attached.stats.refreshes
        assert attached.stats.cached_steps > 0
        assert torch.equal(first, second)
        assert torch.equal(run(pipe, case.call(STEPS))[0], plain)


def test_keys_of_the_text_may_be_kept_which_changes_nothing() -> None:
    case = CASES[1]  # Qwen-Image, whose transformer can
    pipe = case.build()
    with attach(pipe, SCHEDULE):
        (expected,) = run(pipe, case.call(STEPS))
    pipe.transformer.enable_cache(TextKVCacheConfig())
    with attach(pipe, SCHEDULE) as attached:
        (found,) = run(pipe, case.call(STEPS))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert attached.stats.denoiser_calls == BUDGET * case.branches
