"""On an accelerator a refresh is read when the steps after it are queued, and nothing is missed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import meancache_runtime.innovation
from meancache_runtime import attach
from meancache_runtime.arrays import listed
from meancache_runtime.errors import NonFiniteError, UnstableError
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.pipeline_loops import NOISE, Denoiser, Loop, Streams, field

STEPS = 8
KNOTS = (0, 2, 5)
PLAN = by_hand.schedule(STEPS, KNOTS)


def bounded(*limits: float) -> Any:
    return replace(PLAN, plans=(replace(PLAN.plans[0], innovation=limits),))


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array is one that an accelerator makes."""
    monkeypatch.setattr("meancache_runtime.machine.is_awaited", lambda array: True)


def levels() -> list[float]:
    scheduler = Loop().scheduler
    scheduler.set_timesteps(STEPS)
    return scheduler.sigmas.tolist()


def breaking_at(knot: int) -> Callable[[Tensor, float], Tensor]:
    level = levels()[knot]

    def velocity(z: Tensor, sigma: float) -> Tensor:
        return field(z, sigma) * (math.nan if sigma == level else 1.0)

    return velocity


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("schedule", [PLAN, bounded(1e6, 1e6)], ids=["without bounds", "with"])
@pytest.mark.parametrize("knot", KNOTS)
def test_nan_is_raised_with_its_knot_before_anything_is_refreshed_again(
    knot: int, schedule: Any
) -> None:
    pipe = Loop()
    pipe.transformer.velocity = breaking_at(knot)
    with (
        attach(pipe, schedule, budget=3),
        pytest.raises(NonFiniteError, match=f"^transformer: .* at knot {knot} "),
    ):
        pipe(STEPS)
    assert pipe.transformer.sigmas == [levels()[each] for each in KNOTS if each <= knot]


class Interrupted(Loop):
    """Stops in the interval from knot 2 on, as a pipeline does whose user has seen enough."""

    def __call__(self, steps: int, first: int = 0, **options: Any) -> Tensor:
        self.scheduler.set_timesteps(steps)
        z = NOISE.clone()
        for i, t in enumerate(self.scheduler.timesteps[:4]):
            v = self.transformer(z, sigma=float(self.scheduler.sigmas[i]))
            z = self.scheduler.step(v, t, z, return_dict=False)[0]
        return z


@pytest.mark.usefixtures("late")
def test_a_run_that_is_interrupted_raises_when_it_is_over() -> None:
    pipe = Interrupted()
    pipe.transformer.velocity = breaking_at(2)
    with attach(pipe, PLAN, budget=3), pytest.raises(NonFiniteError, match="at knot 2 "):
        pipe(STEPS)


class TwoDenoisers(Loop):
    """Another denoiser takes over at step 5."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer_2 = Denoiser()

    def __call__(self, steps: int, first: int = 0, **options: Any) -> Tensor:
        self.scheduler.set_timesteps(steps)
        z = NOISE.clone()
        for i, t in enumerate(self.scheduler.timesteps):
            denoiser = self.transformer if i < 5 else self.transformer_2
            v = denoiser(z, sigma=float(self.scheduler.sigmas[i]))
            z = self.scheduler.step(v, t, z, return_dict=False)[0]
        return z


@pytest.mark.usefixtures("late")
def test_the_denoiser_is_named_that_gave_it_not_the_one_that_is_next() -> None:
    pipe = TwoDenoisers()
    pipe.transformer.velocity = breaking_at(2)
    with attach(pipe, PLAN, budget=3), pytest.raises(NonFiniteError, match=r"^transformer: "):
        pipe(STEPS)
    assert pipe.transformer_2.sigmas == []


def events(pipe: Loop, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens in a run, in order."""
    happened: list[str] = []
    step = pipe.scheduler.step

    def velocity(z: Tensor, sigma: float) -> Tensor:
        happened.append("refresh")
        return field(z, sigma)

    def stepping(*args: Any, **kwargs: Any) -> Any:
        happened.append("step")
        return step(*args, **kwargs)

    def reading(numbers: Any) -> list[float]:
        happened.append("read")
        return listed(numbers)

    pipe.transformer.velocity, pipe.scheduler.step = velocity, stepping
    monkeypatch.setattr(meancache_runtime.innovation, "listed", reading)
    with attach(pipe, bounded(1e6, 1e6), budget=3):
        pipe(STEPS)
    return happened


def test_what_is_there_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, taken = ["read", "read"], ["step"]
    assert events(Loop(), monkeypatch) == [
        "refresh", *2 * taken, "refresh", *read, *3 * taken, "refresh", *read, *3 * taken
    ]  # fmt: skip


@pytest.mark.usefixtures("late")
def test_what_is_waited_for_is_read_before_the_next_refresh_and_at_the_last_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, taken = ["read", "read"], ["step"]
    assert events(Loop(), monkeypatch) == [
        "refresh", *2 * taken, "refresh", *3 * taken, *read, "refresh", *2 * taken, *read, *taken
    ]  # fmt: skip


def followed(pipe: Any, schedule: Any) -> Any:
    with attach(pipe, schedule, budget=3) as attached, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipe(STEPS), attached.stats


@pytest.mark.parametrize("make", [Loop, Streams])
def test_samples_and_figures_are_the_same(make: Any, request: pytest.FixtureRequest) -> None:
    now, stats = followed(make(), bounded(1e-6, 1e6))
    request.getfixturevalue("late")
    later, found = followed(make(), bounded(1e-6, 1e6))
    assert all(torch.equal(a, b) for a, b in zip(now, later, strict=True))
    assert found == stats
    assert [warning.kind for warning in found.warnings] == ["unstable"]
    assert list(found.innovations) == [2, 5]


@pytest.mark.usefixtures("late")
def test_where_a_policy_acts_it_does_so_at_the_knot() -> None:
    pipe = Loop()
    with attach(pipe, bounded(1e-6, 1e6), budget=3, on_unstable="raise") as attached:
        with pytest.raises(UnstableError, match="at knot 2 "):
            pipe(STEPS)
        assert (attached.stats.refreshes, attached.stats.cached_steps) == (1, 1)
    with attach(pipe, bounded(1e-6, 1e6), budget=3, on_unstable="refresh") as attached:
        pipe(STEPS)
    assert attached.stats.refreshes == 1 + 3 + 1
