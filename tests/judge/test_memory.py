"""The memory that a denoising loop takes: of tensors, and by CUDA's allocator."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from meancache_plan.judge.compare.peers import plan_peers
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.loop_memory import Allocator
from meancache_plan.judge.operations import Operations
from meancache_plan.judge.sample_cost import compute, make
from meancache_plan.show.terminal.comparison_tables import memory_words
from tests.judge.tiny_comparison import (
    FULL,
    PROMPT,
    SCHEDULE,
    SEED,
    STEPS,
    comparison,
    row,
    tiny_pipeline,
)


def test_a_tensor_counts_while_it_lives_and_its_views_with_it() -> None:
    with Operations() as account:
        known = torch.zeros(100)
        account.begin()
        assert account.peak() == 0
        first = known + 1
        assert account.peak() == 400
        view = first.view(10, 10)[2:]
        del first
        second = view.double()
        assert account.peak() == 400 + 640
        del view, second
        account.begin()
        third = known[:50] * 2
        third.add_(1)
        assert account.peak() == 200
        fourth = known.sin().cos()  # the sine goes when the cosine is there
        assert account.peak() == 200 + 400 + 400
        del third, fourth
        account.begin()
        fifth = known.sum()
        assert account.peak() == fifth.nbytes == 4


def test_tensors_of_numbers_of_other_sizes_and_of_no_storage() -> None:
    with Operations() as account:
        account.begin()
        numbers = torch.tensor([0.0] * 100)
        assert account.peak() == 400
        grown = torch.empty(0)
        grown.resize_(50)
        assert account.peak() == 400 + 200
        torch.add(numbers, 1, out=grown.resize_(100))
        assert account.peak() == 400 + 400
        assert torch.eye(3).to_sparse().is_sparse  # has no storage: is not counted, nor refused


def test_what_was_there_before_the_account_is_not_counted_when_it_is_used() -> None:
    weight = torch.zeros(8, 8)
    with Operations() as account:
        account.begin()
        rows = [weight.t(), weight[0], *weight.split(2), weight.detach()]
        weight.mul_(2)
        assert account.peak() == 0
    assert len(rows) == 7


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), max_size=30))
def test_the_peak_is_that_of_a_ledger(actions: list[tuple[int, int]]) -> None:
    """Tensors of some sizes are made, each in one of six places, whose tensor before it goes."""
    held: dict[int, Tensor] = {}
    sizes: dict[int, int] = {}
    most = 0
    with Operations() as account:
        account.begin()
        for size, place in actions:
            held.pop(place, None)
            sizes.pop(place, None)
            held[place], sizes[place] = torch.empty(size), 4 * size
            most = max(most, sum(sizes.values()))
        assert account.peak() == most


def holding(kept: list[int]) -> Contender:
    """The full run, which keeps a float32 tensor of so many elements after each call."""

    @contextmanager
    def enter(pipeline: Any) -> Generator[None]:
        calls: list[Tensor] = []

        def keep(*_: Any) -> None:
            if len(calls) < len(kept):
                calls.append(torch.empty(kept[len(calls)]))

        handle = pipeline.pipe.transformer.register_forward_hook(keep)
        yield
        handle.remove()

    return Contender("holding", "all", STEPS, enter)


def test_what_a_method_keeps_is_added_to_what_the_full_run_takes(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    full = compute(pipeline, FULL, PROMPT, SEED)
    found = compute(pipeline, holding([1_000, 2_000, 500]), PROMPT, SEED)
    assert 0 < full.memory == found.memory - 4 * 3_500
    fewer = compute(pipeline, Contender("fewer", "3", 3), PROMPT, SEED)
    assert fewer.memory == full.memory


def test_plans_keep_a_few_latents_and_nothing_of_the_denoiser(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    full = compute(pipeline, FULL, PROMPT, SEED)
    latents = make(pipeline, FULL, PROMPT, SEED).latents
    for contender in plan_peers.plans("plan", SCHEDULE):
        kept = compute(pipeline, contender, PROMPT, SEED).memory - full.memory
        assert 0 <= kept <= 4 * latents.nbytes


def test_a_comparison_tells_everyones_memory_over_the_full_runs() -> None:
    found = comparison(
        row("full", "all", 8.0, [120.0], memory=2_000.0),
        row("hoarder", "a", 4.0, [50.0], memory=5_000.0),
        row("hoarder", "b", 3.0, [20.0], memory=4_000.0),
        row("cache", "a", 4.0, [50.0], memory=3_000.0),
        row("plan", "B = 4", 4.0, [40.0], memory=2_020.0, budget=4),
        row("other", "a", 4.0, [40.0]),
        prompts=1,
    )
    assert found.memory() == {"hoarder": (2.0, 2.5), "cache": (1.5, 1.5), "plan": (1.01, 1.01)}
    assert memory_words(found).endswith("run's: plan 1.01, cache 1.50, hoarder 2.00 to 2.50.")


def test_a_comparison_without_memory_says_so() -> None:
    found = comparison(row("full", "all", 8.0, [1.0]), row("plan", "B = 4", 4.0, [1.0], budget=4))
    assert found.memory() == {}
    assert memory_words(found) == "Memory was not measured."


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_allocator_counts_from_the_beginning_on() -> None:
    device = torch.device("cuda")
    known = torch.zeros(1 << 20, device=device)
    account = Allocator(device)
    account.begin()
    other = torch.zeros(1 << 21, device=device)
    del other
    assert account.peak() == 1 << 23
    assert len(known) == 1 << 20
