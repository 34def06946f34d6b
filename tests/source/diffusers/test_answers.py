"""Calls of a denoiser that may be skipped, and calls that may not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from meancache_plan.source.diffusers.interception import Answers


class Cache:
    """Keys and values that a denoiser keeps for later steps."""


class Denoiser:
    """Counts its calls."""

    calls = 0

    def __call__(self, latents: Tensor, kv_cache: Any = None) -> Tensor:
        self.calls += 1
        return latents


def test_a_call_of_a_known_form_is_skipped_with_tensors_and_plain_values_alone():
    answers, denoiser, latents = Answers(), Denoiser(), torch.ones(2)
    for _ in range(3):
        answers.call("transformer", denoiser, True, latents)
    assert denoiser.calls == 1


def test_the_first_call_with_a_cache_is_not_skipped_as_it_may_fill_it():
    answers, denoiser, latents = Answers(), Denoiser(), torch.ones(2)
    for cache in (Cache(), Cache()):
        for _ in range(3):
            answers.call("transformer", denoiser, True, latents, kv_cache=cache)
    assert denoiser.calls == 2
