"""Replay of ``released`` intervals against the loop of MeanCache's released scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from meancache_runtime import Replay, attach, integrate
from meancache_runtime.binding import bind
from meancache_runtime.predictors import Adams, Hold, Jvp, Predictor, Released
from meancache_runtime.schedule import Schedule
from tests import fields
from tests.runtime import by_hand
from tests.tiny import call_options

PUBLISHED = Path(__file__).parents[2] / "schedules" / "published.json"
LISTED = {
    f"{model} {budget}": entry
    for model, listed in json.loads(PUBLISHED.read_text())["models"].items()
    for budget, entry in listed["budgets"].items()
}
GRID = fields.shifted_grid(50)
FIELD = fields.mixture()


def field(latents: Tensor, sigma: float) -> Tensor:
    """The mixture's velocity, exact, in the latents' own dtype."""
    return FIELD(latents.double(), sigma).to(latents.dtype)


def spans_of(listed: Mapping[str, Any]) -> dict[int, int]:
    """Fresh step → K, as the scripts have it; nothing is cached after the last."""
    return dict(zip(listed["fresh_steps"], [*listed["edge_span"], 0], strict=True))


def schedule_of(spans: Mapping[int, int], sigmas: Sequence[float]) -> Schedule:
    predictors = [Released(span) if span else Hold() for span in spans.values()]
    return by_hand.schedule(len(sigmas) - 1, tuple(spans), predictors, sigmas)


def relative(result: Tensor, expected: Tensor) -> float:
    return float((result.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", LISTED)
def test_published_plans_replay_as_the_released_scripts_do(name, dtype, limit):
    spans = spans_of(LISTED[name])
    noise = fields.noise(4)
    expected = by_hand.released(field, noise, spans, GRID)[0][-1]
    plan = schedule_of(spans, GRID)
    result = integrate(field, noise.to(dtype), plan, budget=len(spans))
    assert result.dtype == dtype
    assert relative(result, expected) < limit


@pytest.mark.parametrize("name", ["Qwen/Qwen-Image-2512 10", "Tongyi-MAI/Z-Image 20"])
def test_an_attached_pipeline_gets_the_velocities_of_the_released_scripts(tiny_flux, name):
    spans = spans_of(LISTED[name])
    outputs: list[Tensor] = []
    received: list[Tensor] = []
    starts: list[Tensor] = []
    step = tiny_flux.scheduler.step

    def observe(velocity: Tensor, timestep: Any, sample: Tensor, **kwargs: Any) -> Any:
        received.append(velocity.clone())
        starts.append(sample.clone())
        return step(velocity, timestep, sample, **kwargs)

    tiny_flux.scheduler.step = observe
    tiny_flux.transformer.register_forward_hook(
        lambda _module, _args, output: outputs.append(output[0].double())
    )
    plan = by_hand.schedule(50, tuple(spans), schedule_of(spans, GRID).plans[0].intervals)
    with torch.no_grad(), attach(tiny_flux, plan):
        latents = tiny_flux("a cat", **call_options(50)).images
    sigmas = tiny_flux.scheduler.sigmas.tolist()
    fresh = iter(outputs)
    z, v = by_hand.released(lambda _z, _sigma: next(fresh), starts[0].double(), spans, sigmas)
    assert len(outputs) == len(spans)
    for answer, expected in zip(received, v, strict=True):
        assert relative(answer, expected) < 1e-5
    assert relative(latents, z[-1]) < 1e-5


@st.composite
def spans_and_grid(draw: st.DrawFn) -> tuple[dict[int, int], tuple[float, ...]]:
    steps = draw(st.integers(1, 24))
    knots = {0} | draw(st.sets(st.integers(0, steps - 1)))
    spans = {knot: draw(st.integers(1, min(knot + 1, 8))) for knot in sorted(knots)}
    return spans, fields.shifted_grid(steps, draw(st.floats(0.5, 6.0)))


@settings(max_examples=150)
@given(spans_and_grid(), st.booleans())
def test_any_plan_replays_as_the_released_scripts_do(drawn, is_rising):
    spans, grid = drawn
    sigmas = tuple(1 - sigma for sigma in grid) if is_rising else grid
    noise = fields.noise(2)
    wave = torch.linspace(1, 3, 16, dtype=torch.float64)

    def bounded(latents: Tensor, sigma: float) -> Tensor:
        return torch.sin(latents + wave * sigma)

    z, v = by_hand.released(bounded, noise, spans, sigmas)
    plan = schedule_of(spans, sigmas)
    result = integrate(bounded, noise, plan, budget=len(spans))
    scale = max(float(velocity.abs().max()) for velocity in v)
    assert float((result - z[-1]).abs().max()) < 1e-9 * max(1.0, scale)


@st.composite
def mixed_plans(draw: st.DrawFn) -> tuple[Schedule, tuple[float, ...]]:
    spans, sigmas = draw(spans_and_grid())
    predictors: list[Predictor] = []
    for known, (start, span) in enumerate(spans.items(), start=1):
        order = draw(st.integers(1, min(known, 4)))
        gains = draw(st.lists(st.floats(-2, 2), min_size=order, max_size=order))
        choices = [Hold(), Released(span), Adams(tuple(gains))]
        choices += [Jvp(draw(st.integers(1, start)))] if start else []
        predictors.append(draw(st.sampled_from(choices)))
    return by_hand.schedule(len(sigmas) - 1, tuple(spans), predictors, sigmas), sigmas


@settings(max_examples=150)
@given(mixed_plans())
def test_any_mix_of_predictors_replays_as_specified(drawn):
    schedule, sigmas = drawn
    plan = schedule.plans[0]
    fresh = list(fields.noise(len(plan.knots)))
    replay = Replay(bind(plan, sigmas))
    given_at = dict(zip(plan.knots, fresh, strict=True))
    result = [replay.advance(given_at.get(step, fresh[0])) for step in range(replay.plan.steps)]
    expected = by_hand.answers(plan, sigmas, fresh)
    scale = max(1.0, *(float(answer.abs().max()) for answer in expected))
    for answer, hand in zip(result, expected, strict=True):
        assert float((answer - hand).abs().max()) < 1e-9 * scale


@settings(max_examples=50)
@given(spans_and_grid())
def test_a_span_of_1_is_hold_bit_for_bit(drawn):
    knots, sigmas = tuple(drawn[0]), drawn[1]
    plan = schedule_of(dict.fromkeys(knots, 1), sigmas)
    hold = by_hand.schedule(len(sigmas) - 1, knots, sigmas=sigmas)
    bound = bind(plan.plans[0], sigmas)
    assert bound == bind(hold.plans[0], sigmas)
    assert all(bound.is_plain(step) for step in range(bound.steps))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_knots_own_step_is_taken_with_the_denoisers_own_tensor(dtype):
    plan = schedule_of({0: 1, 3: 3, 6: 5, 7: 2}, GRID[:11])
    replay = Replay(bind(plan.plans[0], GRID[:11]))
    for step in range(10):
        velocity = torch.linspace(-1, 1, 7).to(dtype) * step
        is_knot = replay.due
        answer = replay.advance(velocity)
        assert answer.dtype == dtype
        if is_knot:
            assert torch.equal(answer, velocity)
            if step in (3, 6, 7):  # at 0 the same tensor serves three steps: a copy of it
                assert answer is velocity


def test_intervals_of_one_step_are_plain_euler_whatever_the_span():
    noise = latents = fields.noise(2).float()
    for sigma, following in pairwise(GRID):
        latents = latents + (following - sigma) * field(latents, sigma)
    plan = schedule_of({step: min(step + 1, 7) for step in range(50)}, GRID)
    assert torch.equal(integrate(field, noise, plan, budget=50), latents)


def test_velocities_of_equal_steps_are_combined_once():
    """Span 2 at 4: its answers differ from step to step; span 1 at 0 and 8 repeats one tensor."""
    replay = Replay(bind(schedule_of({0: 1, 4: 2, 8: 1}, GRID[:13]).plans[0], GRID[:13]))
    answers = [replay.advance(torch.full((3,), float(step**2))) for step in range(12)]
    assert len({id(answer) for answer in answers[:4]}) == 1
    assert len({id(answer) for answer in answers[4:8]}) == 4
    assert len({id(answer) for answer in answers[8:]}) == 1


def test_the_log_is_wide_and_dropped_as_soon_as_no_later_step_needs_it():
    """The answers at 5, 6 and 7 are formed from v₀ and v₄, and no others from the log."""
    replay = Replay(bind(schedule_of({0: 1, 4: 2, 8: 1}, GRID[:13]).plans[0], GRID[:13]))
    kept = []
    for _ in range(12):
        replay.advance(torch.ones(3, dtype=torch.bfloat16))
        assert all(fresh.dtype == torch.float32 for fresh in replay._fresh.values())
        kept.append(sorted(replay._fresh))
    assert kept == [[0]] * 4 + [[0, 4]] * 3 + [[]] * 5
    assert replay._answer is None
