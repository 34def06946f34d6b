from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from numpy.polynomial import Polynomial

from meancache_runtime import integrate
from meancache_runtime.binding import adams, bind, jvp
from meancache_runtime.errors import (
    BudgetError,
    GridMismatchError,
    ScheduleError,
    StepCountError,
)
from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from tests.runtime import by_hand

NOISE = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)
SIGMAS = by_hand.shifted(20)
MEAN, VARIANCE = 0.7, 0.04


def gaussian(latents: torch.Tensor, sigma: float) -> torch.Tensor:
    """Exact velocity of the flow z = (1 − σ)·x + σ·ε from data N(MEAN, VARIANCE)."""
    variance = (1 - sigma) ** 2 * VARIANCE + sigma**2
    score = (latents - (1 - sigma) * MEAN) / variance
    return sigma * score - MEAN - (1 - sigma) * VARIANCE * score


def mixture(latents: torch.Tensor, sigma: float) -> torch.Tensor:
    """Exact velocity for data at −1 or +1 with equal odds (curved trajectories)."""
    sigma = max(sigma, 1e-3)
    x = torch.tanh((1 - sigma) * latents / sigma**2)
    return (latents - x) / sigma


PLANS = {
    "hold": ((0, 3, 7, 12, 16), [Hold()] * 5),
    "jvp shorter than the previous interval": (
        (0, 3, 7, 12, 16),
        [Hold(), Adams((1.0, 0.8)), Jvp(2), Jvp(3), Jvp(1)],
    ),
    "jvp as long as the previous interval": (
        (0, 3, 7, 12, 16),
        [Hold(), Jvp(3), Adams((1.0, 0.8)), Jvp(5), Jvp(4)],
    ),
    "jvp longer than the previous interval": (
        (0, 3, 7, 12, 16),
        [Hold(), Jvp(3), Jvp(6), Jvp(7), Jvp(16)],
    ),
    "adams of orders 2 to 4": (
        (0, 1, 3, 7, 12, 16),
        [Hold(), *(Adams((1.0,) * order) for order in (2, 3, 4)), Hold(), Adams((1.0,) * 4)],
    ),
    "gains": (
        (0, 1, 3, 7, 12, 16),
        [
            Hold(),
            Adams((0.98, 0.4)),
            Adams((1.01, -0.3, 0.7)),
            Jvp(4),
            Adams((0.9, 1.2, 0.5, 2.0)),
            Adams((1.0, 0.0)),
        ],
    ),
    "adams of order 1": ((0, 3, 7, 12, 16), [Adams((g,)) for g in (0.97, 1.0, -0.5, 0.0, 1.01)]),
    "released": ((0, 3, 7, 12, 16), [Released(k) for k in (1, 2, 6, 5, 17)]),
    "released beside others": (
        (0, 1, 3, 7, 12, 16),
        [Released(1), Jvp(1), Released(3), Adams((1.0, 0.8)), Released(6), Jvp(5)],
    ),
    "every step": (tuple(range(20)), [Hold()] * 20),
}


@pytest.mark.parametrize("field", [gaussian, mixture])
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("finer", [None, 400], ids=["own steps", "flow"])
def test_integrate_agrees_with_replay_by_hand(name, field, finer):
    knots, predictors = PLANS[name]
    schedule = by_hand.schedule(20, knots, predictors, SIGMAS, finer_steps=finer)
    flow = finer is not None
    expected = by_hand.integrate(field, NOISE, schedule.plans[0], SIGMAS, flow)
    result = integrate(field, NOISE, schedule, budget=len(knots))
    assert torch.allclose(result, expected, rtol=1e-11, atol=1e-11)


def test_the_velocity_is_called_once_a_knot_at_the_knots_sigma():
    knots = (0, 3, 7, 12, 16)
    seen = []
    integrate(
        lambda z, sigma: seen.append(sigma) or gaussian(z, sigma),
        NOISE,
        by_hand.schedule(20, knots, sigmas=SIGMAS),
        budget=5,
    )
    assert seen == [SIGMAS[k] for k in knots]


def test_all_knots_are_plain_euler_bit_for_bit():
    noise = NOISE.float()
    latents = noise
    for sigma, following in pairwise(SIGMAS):
        latents = latents + (following - sigma) * gaussian(latents, sigma)
    schedule = by_hand.schedule(20, range(20), sigmas=SIGMAS)
    assert torch.equal(integrate(gaussian, noise, schedule, budget=20), latents)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_adams_is_exact_for_polynomials_below_its_order(order):
    def polynomial(latents, sigma):
        return torch.full_like(latents, 1 - 2 * sigma + sum(sigma**p for p in range(2, order)))

    knots = (0, 1, 2, 3, 8, 15)
    predictors = [Hold()] * 3 + [Adams((1.0,) * order)] * 3
    full = integrate(polynomial, NOISE, by_hand.schedule(20, range(20), sigmas=SIGMAS), budget=20)
    cached = integrate(polynomial, NOISE, by_hand.schedule(20, knots, predictors, SIGMAS), budget=6)
    assert torch.allclose(cached, full, rtol=0, atol=1e-12)


def test_jvp_inside_the_previous_interval_is_exactly_hold():
    """Replay moved there with one velocity, so the average's slope is zero."""
    plan = by_hand.schedule(20, (0, 4, 9, 14), [Hold(), Jvp(4), Jvp(3), Jvp(1)]).plans[0]
    bound = bind(plan, SIGMAS)
    assert all(bound.is_plain(step) for step in range(20))


def test_jvp_reads_the_fresh_velocity_of_a_knot_and_the_answer_of_a_cached_step():
    sigmas = [1.0, 0.75, 0.5, 0.25, 0.0]
    at_knot = bind(by_hand.schedule(4, (0, 1, 3), [Hold(), Hold(), Jvp(3)]).plans[0], sigmas)
    v0, v1 = 1.0, 4.0  # u(0→3) = (v0 + 2·v1) / 3 = 3, slope (u − v0) / −0.75, h = −0.25
    form = at_knot.forms[3]
    assert form[0] * v0 + form[1] * v1 == pytest.approx((3 - v0) * (0.25 / 0.75))
    cached = bind(by_hand.schedule(4, (0, 2, 3), [Hold(), Hold(), Jvp(2)]).plans[0], sigmas)
    form = cached.forms[3]  # r = 1 is a cached step answered with v0; u = (v0 + v2) / 2
    assert form[0] * v0 + form[2] * v1 == pytest.approx((2.5 - v0) * (0.25 / 0.5))


def test_jvp_on_a_full_trajectory_is_the_papers():
    sigmas = SIGMAS
    own = [{i: 1.0} for i in range(20)]
    velocities = [math.sin(3 * s) for s in sigmas]
    t, s, k = 9, 14, 4
    r = t - k
    moved = sum((sigmas[i + 1] - sigmas[i]) * velocities[i] for i in range(r, t))
    slope = (moved / (sigmas[t] - sigmas[r]) - velocities[r]) / (sigmas[t] - sigmas[r])
    expected = velocities[t] + (sigmas[s] - sigmas[t]) * slope
    form = jvp(sigmas, t, s, k, own, own)
    assert sum(w * velocities[i] for i, w in form.items()) == pytest.approx(expected, rel=1e-12)


def test_order_2_uses_the_mean_of_the_step_starts():
    t, s, r = 5, 9, 2
    h = SIGMAS[s] - SIGMAS[t]
    mean = sum((SIGMAS[k + 1] - SIGMAS[k]) * SIGMAS[k] for k in range(t, s)) / h
    slope = (mean - SIGMAS[t]) / (SIGMAS[t] - SIGMAS[r])
    form = adams(SIGMAS, (0, r, t), s, (1.0, 1.0))
    assert form == pytest.approx({t: 1 + slope, r: -slope})


def test_on_the_flow_an_interval_of_one_step_carries_the_second_term():
    t, r = 5, 2
    slope = (SIGMAS[t + 1] - SIGMAS[t]) / 2 / (SIGMAS[t] - SIGMAS[r])
    plan = by_hand.schedule(20, (0, r, t, t + 1), [Hold(), Hold(), Adams((1.0, 1.0)), Hold()])
    assert bind(plan.plans[0], SIGMAS, displaced=True).forms[t] == pytest.approx(
        {t: 1 + slope, r: -slope}
    )
    assert bind(plan.plans[0], SIGMAS).forms[t] == {t: 1.0}


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_on_the_flow_a_polynomial_of_lower_degree_is_averaged_exactly(order):
    knots, path = (0, 2, 3, 6), Polynomial([0.3, -1.0, 2.0, 0.7][:order])
    for end in range(7, 21):
        form = adams(SIGMAS, knots, end, (1.0,) * order, displaced=True)
        found = sum(weight * path(SIGMAS[step]) for step, weight in form.items())
        whole = path.integ()(SIGMAS[end]) - path.integ()(SIGMAS[6])
        assert found == pytest.approx(whole / (SIGMAS[end] - SIGMAS[6]), rel=1e-12)


def test_weights_follow_the_grid_that_the_run_is_on():
    knots, predictors = PLANS["gains"]
    schedule = by_hand.schedule(20, knots, predictors, SIGMAS, tolerance=0.05)
    other = by_hand.shifted(20, 3.2)
    assert bind(schedule.plans[0], other) != bind(schedule.plans[0], SIGMAS)
    result = integrate(gaussian, NOISE, schedule, budget=6, sigmas=other)
    expected = by_hand.integrate(gaussian, NOISE, schedule.plans[0], other)
    assert torch.allclose(result, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", PLANS)
def test_steps_of_no_length_move_nothing_and_are_no_knots(name):
    knots, predictors = PLANS[name]
    plain = by_hand.schedule(20, knots, predictors)
    longer = by_hand.schedule(22, (*knots, 20, 21), [*predictors, Released(1), Jvp(1)])
    seen: list[float] = []

    def velocity(latents, sigma):
        seen.append(sigma)
        return gaussian(latents, sigma)

    levels, budget = [*SIGMAS, 0.0, 0.0], longer.budgets[0]
    result = integrate(velocity, NOISE, longer, budget=budget, sigmas=levels)
    assert torch.allclose(result, by_hand.integrate(gaussian, NOISE, plain.plans[0], SIGMAS))
    assert seen == [SIGMAS[knot] for knot in knots]


def test_a_knot_of_no_length_has_no_bound():
    plan = replace(by_hand.schedule(4, (0, 2, 3)).plans[0], innovation=(0.5, 0.25))
    bound = bind(plan, (1.0, 0.5, 0.25, 0.0, 0.0))
    assert (bound.knots, bound.bounds, bound.steps) == ((0, 2), (0.5,), 4)


def test_a_rising_grid_is_a_grid():
    rising = [1 - s for s in SIGMAS]
    knots, predictors = PLANS["adams of orders 2 to 4"]
    schedule = by_hand.schedule(20, knots, predictors, rising)
    expected = by_hand.integrate(torch.mul, NOISE, schedule.plans[0], rising)
    assert torch.allclose(integrate(torch.mul, NOISE, schedule, budget=6), expected)


@pytest.mark.parametrize(
    ("sigmas", "error", "hint"),
    [
        (by_hand.shifted(19), StepCountError, "num_inference_steps=20"),
        (by_hand.shifted(20, 4.0), GridMismatchError, "shift"),
        ([1.0] * 21, GridMismatchError, "monotone: step 0 goes from 1.0000 to 1.0000"),
        ([1.0, *SIGMAS[:20]], GridMismatchError, "monotone: step 0 goes from 1.0000 to 1.0000"),
        ([*SIGMAS[:2], *SIGMAS[1:20]], GridMismatchError, "monotone: step 1"),
        ([80.0, *SIGMAS[1:]], GridMismatchError, "80 is among them, and those lie in 0 to 1"),
        ([*SIGMAS[:10], SIGMAS[9] + 1e-5, *SIGMAS[11:]], GridMismatchError, "monotone"),
        ([*SIGMAS[:10], math.nan, *SIGMAS[11:]], GridMismatchError, "monotone"),
    ],
)
def test_another_grid_is_refused(sigmas, error, hint):
    schedule = by_hand.schedule(20, (0, 9), sigmas=SIGMAS, tolerance=0.05)
    with pytest.raises(error, match=hint):
        integrate(gaussian, NOISE, schedule, budget=2, sigmas=sigmas)


@pytest.mark.parametrize(
    "sigmas",
    [5, "abc", b"abc", [None] * 21, ["a"] * 21, [SIGMAS], torch.tensor([SIGMAS]), [10**400]],
)
def test_what_is_no_list_of_noise_levels_is_refused(sigmas):
    with pytest.raises(GridMismatchError, match=r"sigmas are not noise levels \(.+\): give a list"):
        integrate(gaussian, NOISE, by_hand.schedule(20, (0, 9)), budget=2, sigmas=sigmas)


def test_noise_levels_too_close_for_weights_are_refused():
    levels = (0.0, 1e-300, 2e-300, 0.5, 1.0)
    schedule = by_hand.schedule(4, (0, 1, 2), [Hold(), Hold(), Adams((1.0,) * 3)])
    with pytest.raises(GridMismatchError, match=r"step 2 has weights that are not.*farther"):
        integrate(gaussian, NOISE, schedule, budget=3, sigmas=levels)


def test_a_schedule_without_a_grid_needs_sigmas_and_takes_any():
    schedule = by_hand.schedule(20, (0, 9))
    with pytest.raises(GridMismatchError, match="pass sigmas"):
        integrate(gaussian, NOISE, schedule, budget=2)
    assert integrate(gaussian, NOISE, schedule, budget=2, sigmas=SIGMAS).isfinite().all()


def test_an_unknown_budget_names_those_that_there_are():
    with pytest.raises(BudgetError, match=r"budget 7; it has 2\b"):
        integrate(gaussian, NOISE, by_hand.schedule(20, (0, 9)), budget=7)


def test_integrate_is_differentiable():
    noise = NOISE.clone().requires_grad_()
    knots, predictors = PLANS["gains"]
    schedule = by_hand.schedule(20, knots, predictors, SIGMAS)
    assert torch.autograd.gradcheck(
        lambda z: integrate(gaussian, z, schedule, budget=6), (noise,), fast_mode=True
    )


def test_the_compiler_s_own_schedule_is_followed_and_anything_else_refused():
    plain = by_hand.schedule(4, (0, 2))

    class Compiled:
        def replayable(self):
            return plain

    grid = [1.0, 0.75, 0.5, 0.25, 0.0]
    direct = integrate(lambda z, _: z, torch.ones(3), plain, budget=2, sigmas=grid)
    composed = integrate(lambda z, _: z, torch.ones(3), Compiled(), budget=2, sigmas=grid)
    assert torch.equal(composed, direct)
    with pytest.raises(ScheduleError, match="load_schedule"):
        integrate(lambda z, _: z, torch.ones(3), {"plans": []}, budget=2)
