"""Bounds of innovations are what samples of other prompts seldom leave."""

from __future__ import annotations

import numpy as np
import pytest

from meancache_plan.core.innovation import bounds


def test_bounds_are_the_largest_times_what_halves_of_the_prompts_exceed_each_other_by() -> None:
    rng = np.random.default_rng(0)
    found = np.exp(rng.normal(size=(12, 3)))
    prompts = np.repeat(np.arange(6), 2)
    halves = [prompts % 2 == half for half in (0, 1)]
    beyond = [
        max(row / found[other].max(axis=0))
        for own, other in (halves, halves[::-1])
        for row in found[own]
    ]
    expected = found.max(axis=0) * max(1.0, *beyond)
    assert bounds(found, prompts) == pytest.approx(expected)


def test_a_single_prompt_bounds_nothing() -> None:
    assert bounds(np.ones((4, 3)), np.zeros(4, dtype=np.int64)) is None


def test_of_new_samples_of_the_same_kind_less_than_one_in_a_hundred_leaves_the_bounds() -> None:
    rng = np.random.default_rng(1)
    shares: list[float] = []
    for _ in range(40):
        found = np.exp(0.5 * rng.normal(size=(96 + 100, 8)))
        limits = np.array(bounds(found[:96], np.arange(96)))
        shares.append(float((found[96:] > limits).any(axis=1).mean()))
    assert 0.0001 < np.mean(shares) < 0.01
