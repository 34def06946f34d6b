"""Two schedulers in one loop: a copy made within the run follows the plan with its own stream."""

from __future__ import annotations

import copy
import threading
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from meancache_runtime import attach
from meancache_runtime.errors import (
    GridMismatchError,
    MeanCacheError,
    ReplayError,
    StepCountError,
    UnstableError,
)
from meancache_runtime.schedule import Plan, Schedule
from tests.plans import KNOTS, PLAN, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.pipeline_loops import NOISE, Streams, coupled


def followed(plan: Plan, sigmas: list[float]) -> tuple[Tensor, Tensor]:
    """Both streams by hand: one denoiser call a knot gives both velocities."""
    return followed_states(plan, sigmas)[-1]


def followed_states(plan: Plan, sigmas: list[float]) -> list[tuple[Tensor, Tensor]]:
    """Both streams at each knot, and at the end."""
    latents, fresh, states = [NOISE.clone(), NOISE.flip(0)], ([], []), []
    for step in range(len(sigmas) - 1):
        if step in plan.knots:
            states.append(tuple(latents))
            for log, velocity in zip(fresh, coupled(*latents, sigmas[step]), strict=True):
                log.append(velocity)
        count = len(fresh[0])
        past = Plan(count, plan.knots[:count], plan.intervals[:count])
        end = next((k for k in plan.knots if k > step), len(sigmas) - 1)
        h = sigmas[step + 1] - sigmas[step]
        for i, log in enumerate(fresh):
            latents[i] = latents[i] + h * by_hand.answers(past, sigmas[: end + 1], log)[step]
    return [*states, tuple(latents)]


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("order", [("main", "copy"), ("copy", "main")])
def test_each_stream_gets_what_replay_by_hand_gives(make, early, order):
    pipe = Streams(make, early=early, order=order)
    with attach(pipe, SCHEDULE) as attached:
        streams, again = pipe(STEPS), pipe(STEPS)
    expected = followed(PLAN, pipe.scheduler.sigmas.tolist())
    for stream, repeated, wanted in zip(streams, again, expected, strict=True):
        assert torch.allclose(stream, wanted, rtol=1e-6, atol=1e-6)
        assert torch.equal(repeated, stream)
    assert len(pipe.transformer.sigmas) == 2 * len(KNOTS)
    assert (attached.stats.refreshes, attached.stats.cached_steps) == (4, 4)


def test_every_step_a_knot_changes_no_bit_in_either_stream():
    pipe = Streams()
    plain = pipe(STEPS)
    with attach(pipe, by_hand.schedule(STEPS, range(STEPS))):
        assert all(torch.equal(a, b) for a, b in zip(pipe(STEPS), plain, strict=True))


def largest(plan: Plan, sigmas: list[float]) -> list[float]:
    """The innovation at each knot after the first, by its definition, of both streams joined."""
    fresh, found = list[Tensor](), list[float]()
    for knot, latents in zip(plan.knots, followed_states(plan, sigmas)[:-1], strict=True):
        fresh.append(torch.cat([v.flatten() for v in coupled(*latents, sigmas[knot])]))
        if len(fresh) == 1:
            continue
        known = plan.knots[: len(fresh) - 1]
        promised = fresh[-2]
        if len(fresh) > 2:
            slope = (fresh[-2] - fresh[-3]) / (sigmas[known[-1]] - sigmas[known[-2]])
            promised = fresh[-2] + (sigmas[knot] - sigmas[known[-1]]) * slope
        found.append(float((fresh[-1] - promised).norm() / fresh[-1].norm()))
    return found


def bounded(limits: tuple[float, ...]) -> Schedule:
    return replace(SCHEDULE, plans=(replace(PLAN, innovation=limits),))


@pytest.mark.parametrize("order", [("main", "copy"), ("copy", "main")])
def test_bounds_are_of_both_streams_together(order):
    pipe = Streams(order=order)
    with attach(pipe, SCHEDULE):
        expected = pipe(STEPS)
    limits = largest(PLAN, pipe.scheduler.sigmas.tolist())
    for factor, kinds in ((1.001, []), (0.999, ["unstable"])):
        pipe = Streams(order=order)
        with warnings.catch_warnings(), attach(pipe, bounded((1e6, factor * limits[1], 1e6))) as on:
            warnings.simplefilter("ignore")
            streams = pipe(STEPS)
        assert all(torch.equal(a, b) for a, b in zip(streams, expected, strict=True))
        assert [warning.kind for warning in on.stats.warnings] == kinds
        assert on.stats.innovation == pytest.approx(1 / factor, rel=1e-4)
        assert on.stats.innovation_knot == KNOTS[2]


@pytest.mark.parametrize("order", [("main", "copy"), ("copy", "main")])
def test_two_streams_may_be_raised_for_or_ignored_but_not_refreshed(order):
    narrow = bounded((1e-6, 1e-6, 1e-6))
    pipe = Streams(order=order)
    with attach(pipe, narrow, on_unstable="raise"), pytest.raises(UnstableError, match="knot 1"):
        pipe(STEPS)
    with attach(pipe, narrow, on_unstable="ignore") as attached:
        pipe(STEPS)
    assert attached.stats.innovation is None
    assert attached.stats.warnings == ()
    with (
        attach(pipe, narrow, on_unstable="refresh"),
        pytest.raises(ReplayError, match="two things at once"),
    ):
        pipe(STEPS)


def test_a_copy_of_the_copy_follows_too():
    pipe = Streams(lambda scheduler: copy.deepcopy(copy.deepcopy(scheduler)))
    with attach(pipe, SCHEDULE):
        streams = pipe(STEPS)
    expected = followed(PLAN, pipe.scheduler.sigmas.tolist())
    assert torch.allclose(streams[1], expected[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "order", [("main", "copy", "copy"), ("copy", "copy", "main"), ("main", "copy", "main")]
)
def test_schedulers_that_do_not_step_together_are_refused(order):
    pipe = Streams(order=order)
    with attach(pipe, SCHEDULE), pytest.raises(MeanCacheError):
        pipe(STEPS)


def test_a_copy_that_skips_a_step_is_refused_by_its_step():
    class Skipping(Streams):
        def __call__(self, steps: int) -> Any:
            other = copy.deepcopy(self.scheduler)
            for scheduler in (self.scheduler, other):
                scheduler.set_timesteps(steps)
            z = y = NOISE
            for i, t in enumerate(self.scheduler.timesteps):
                v, w = self.transformer(z, y, sigma=1.0)
                z = self.scheduler.step(v, t, z, return_dict=False)[0]
                if i % 3 != 2:
                    y = other.step(w, t, y, return_dict=False)[0]

    pipe = Skipping()
    with (
        attach(pipe, SCHEDULE),
        pytest.raises(StepCountError, match="takes step 2 while the scheduler is at step 4"),
    ):
        pipe(STEPS)


def test_a_copy_on_other_noise_levels_is_refused():
    class Shifted(Streams):
        def __call__(self, steps: int) -> Any:
            other = copy.deepcopy(self.scheduler)
            other.set_shift(1.0)
            for scheduler in (self.scheduler, other):
                scheduler.set_timesteps(steps)
            v, w = self.transformer(NOISE, NOISE, sigma=1.0)
            self.scheduler.step(v, self.scheduler.timesteps[0], NOISE)
            other.step(w, other.timesteps[0], NOISE)

    schedule = by_hand.schedule(STEPS, KNOTS, sigmas=by_hand.shifted(STEPS), tolerance=0.01)
    with attach(Shifted(), schedule) as attached, pytest.raises(GridMismatchError, match="shift"):
        attached._pipe(STEPS)


def test_copies_made_outside_a_run_or_kept_after_it_step_plainly():
    pipe = Streams()
    with attach(pipe, SCHEDULE):
        outside = copy.deepcopy(pipe.scheduler)
        assert type(outside) is type(copy.deepcopy(Streams().scheduler))
        pipe(STEPS)
        kept = pipe.kept
        for scheduler in (outside, kept):
            scheduler.set_timesteps(3)
            z = torch.ones(1)
            for t in scheduler.timesteps:
                z = scheduler.step(torch.ones(1), t, z).prev_sample
            assert z.item() == pytest.approx(0.0, abs=1e-6)


def test_a_copy_made_in_another_thread_is_of_the_scheduler_itself():
    pipe = Streams()
    found: list[Any] = []

    class Asking(type(pipe)):
        def __call__(self, steps: int) -> Any:
            thread = threading.Thread(target=lambda: found.append(copy.deepcopy(self.scheduler)))
            thread.start()
            thread.join()
            return super().__call__(steps)

    pipe.__class__ = Asking
    with attach(pipe, SCHEDULE):
        pipe(STEPS)
    assert type(found[0]).__name__ == "FlowMatchEulerDiscreteScheduler"
