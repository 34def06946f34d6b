"""A velocity that is not finite is refused where it comes from, and leaves nothing behind."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from meancache_runtime import MeanCacheScheduler, Replay, Table, attach, integrate
from meancache_runtime.binding import bind
from meancache_runtime.errors import NonFiniteError, UnstableError
from tests.families.case import run
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.pipeline_loops import Loop, Streams, coupled, field
from tests.runtime.hosts.diffusers.tiny_runs import WAN, two_denoisers

STEPS = 8
KNOTS = (0, 2, 5)
PLAN = by_hand.schedule(STEPS, KNOTS)
BOUND = bind(PLAN.plans[0], by_hand.shifted(STEPS))
BOUNDED = replace(BOUND, bounds=(1e-3, 1e-3))
ARRAYS: dict[str, Any] = {
    "a number": lambda bad: bad,
    "torch": lambda bad: torch.tensor([1.0, bad]),
    "torch, float16": lambda bad: torch.tensor([1.0, bad], dtype=torch.float16),
    "NumPy": lambda bad: np.array([[1.0], [bad]], dtype=np.float32),
    "a list": lambda bad: [1.0, bad],
}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_every_kind_of_array_is_looked_at(make: Any, bad: float) -> None:
    with pytest.raises(NonFiniteError, match=r"knot 0 \(σ = 1\.0000\)"):
        Replay(BOUND).advance(make(bad))
    assert Replay(BOUND).advance(make(3.0)) is not None


def test_the_samples_are_named_and_so_are_knot_and_noise_level() -> None:
    machine, velocity = Replay(BOUND), torch.ones(4, 3)
    machine.advance(velocity)
    machine.advance(velocity)
    velocity[1, 2], velocity[3, 0] = math.inf, math.nan
    level = f"{by_hand.shifted(STEPS)[2]:.4f}"
    words = rf"at knot 2 \(σ = {level}\) in sample 1, 3 \(of 4, from 0\)"
    with pytest.raises(NonFiniteError, match=words):
        machine.advance(velocity)


def test_the_machine_of_a_table_counts_steps_as_the_grid_does() -> None:
    machine = Table.of(BOUND).machine()
    machine.advance(1.0)
    with pytest.raises(NonFiniteError, match="at knot 2 "):
        machine.advance(math.nan)


@pytest.mark.parametrize("policy", ["warn", "raise", "refresh"])
def test_it_is_not_finite_before_it_is_out_of_bounds(policy: Any) -> None:
    machine = Replay(BOUNDED, on_unstable=policy)
    machine.advance(torch.ones(2, 3))
    machine.advance(torch.ones(2, 3))
    with pytest.raises(NonFiniteError, match=r"at knot 2 .* in sample 1 \(of 2"):
        machine.advance(torch.tensor([[1e4, 1.0, 1.0], [1.0, math.nan, 1.0]]))


def test_a_velocity_whose_squares_are_too_large_for_its_type_is_finite() -> None:
    machine = Replay(BOUNDED, on_unstable="ignore")
    for _ in range(STEPS):
        machine.advance(torch.full((2, 3), 1e30))
    machine = Replay(replace(BOUND, bounds=(1e9, 1e9)))
    for _ in range(STEPS):
        machine.advance(torch.full((2, 3), 1e30))


def test_what_a_cached_step_is_handed_does_not_matter() -> None:
    machine = Replay(BOUND)
    assert [machine.advance(v) for v in (3.0, math.nan, 4.0, math.nan)] == [3.0, 3.0, 4.0, 4.0]


def test_batched_functions_have_no_values_to_look_at() -> None:
    def follow(z: torch.Tensor) -> torch.Tensor:
        return integrate(field, z, PLAN, budget=3, sigmas=by_hand.shifted(STEPS))

    noise = torch.linspace(-1, 1, 6).reshape(3, 2)
    torch.testing.assert_close(torch.func.vmap(follow)(noise), follow(noise))


def test_batched_functions_have_no_bounds_to_leave() -> None:
    schedule = replace(PLAN, plans=(replace(PLAN.plans[0], innovation=BOUNDED.bounds),))
    options: dict[str, Any] = {"budget": 3, "sigmas": by_hand.shifted(STEPS)}

    def follow(z: torch.Tensor) -> torch.Tensor:
        return integrate(field, z, schedule, **options, on_unstable="raise")

    noise = torch.linspace(-1, 1, 6).reshape(3, 2)
    with pytest.raises(UnstableError):
        follow(noise)
    torch.testing.assert_close(
        torch.func.vmap(follow)(noise), integrate(field, noise, PLAN, **options)
    )


def breaking(z: Any, sigma: float) -> Any:
    return field(z, sigma) * (math.nan if sigma < 0.9 else 1.0)


def test_after_the_error_a_run_and_a_detached_one_are_as_if_nothing_had_been() -> None:
    pipe = Loop()
    plain = pipe(STEPS)
    with attach(pipe, PLAN, budget=3):
        cached = pipe(STEPS)
        pipe.transformer.velocity = breaking
        with pytest.raises(NonFiniteError, match=r"^transformer: .* at knot 2 "):
            pipe(STEPS)
        pipe.transformer.velocity = field
        assert torch.equal(pipe(STEPS), cached)
        pipe.transformer.velocity = breaking
        with pytest.raises(NonFiniteError):
            pipe(STEPS)
    pipe.transformer.velocity = field
    assert torch.equal(pipe(STEPS), plain)


def test_a_run_from_mid_grid_counts_steps_as_the_schedule_does() -> None:
    pipe = Loop()
    pipe.transformer.velocity = breaking
    with attach(pipe, PLAN, budget=3), pytest.raises(NonFiniteError, match="at knot 3 "):
        pipe(STEPS, first=3)


def test_a_stream_of_its_own_scheduler_is_looked_at_too() -> None:
    pipe = Streams()

    def second_breaks(z: Any, y: Any, sigma: float) -> Any:
        v, w = coupled(z, y, sigma)
        return v, w * math.nan

    pipe.transformer.velocity = second_breaks
    with attach(pipe, PLAN, budget=3), pytest.raises(NonFiniteError, match=r"^transformer: "):
        pipe(STEPS)


def test_of_two_denoisers_the_one_is_named_that_gave_it() -> None:
    pipe, switch = two_denoisers(), 3
    with torch.no_grad():
        pipe.transformer_2.proj_out.bias.fill_(math.nan)
    schedule = by_hand.schedule(STEPS, (0, 2, switch))
    with attach(pipe, schedule, budget=3), pytest.raises(NonFiniteError, match=r"^transformer_2: "):
        run(pipe, WAN.call(STEPS))


def test_the_scheduler_serves_the_next_run() -> None:
    pipe = Loop()
    pipe.scheduler = MeanCacheScheduler.from_schedule(pipe.scheduler, PLAN, budget=3)
    first = pipe(STEPS)
    pipe.transformer.velocity = breaking
    with pytest.raises(NonFiniteError, match="at knot 2 "):
        pipe(STEPS)
    pipe.transformer.velocity = field
    assert torch.equal(pipe(STEPS), first)
