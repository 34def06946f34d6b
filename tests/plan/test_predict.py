from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from meancache_plan import profile_flow, solve
from meancache_plan.core.psnr import CEILING
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.predict import MARGIN, misses, predict
from meancache_plan.schedule.provenance import GainFit, Quality
from meancache_runtime.binding import bind
from meancache_runtime.predictors import Adams, Hold, Jvp, Predictor, Released
from meancache_runtime.schedule import Plan
from tests.fields import (
    Field,
    euler,
    mixture,
    mixture_profile,
    noise,
    polynomial,
    profile_of,
    shifted_grid,
    uniform_grid,
)

ADAMS = Adams((0.9, 1.2))
HOLD = Hold()
PLAIN = Adams((1.0, 1.0))


def plan(knots: Sequence[int], *intervals: Predictor) -> Plan:
    return Plan(len(knots), tuple(knots), intervals)


def held(knots: Sequence[int]) -> Plan:
    return plan(knots, *[HOLD] * len(knots))


def psnr(off: Tensor, value_range: float) -> float:
    """Mean over samples [S, N] of 10·log₁₀(range² / mean square)."""
    squares = off.square().mean(dim=1)
    return float((10 * torch.log10(value_range**2 / squares)).mean())


def replay(field: Field, z: Tensor, made: Plan, sigmas: Sequence[float]) -> Tensor:
    """Step along the field with fresh velocities at knots only."""
    bound = bind(made, sigmas)
    fresh: dict[int, Tensor] = {}
    for i, form in enumerate(bound.forms):
        if i in bound.knots:
            fresh[i] = field(z, sigmas[i])
        z = z + (sigmas[i + 1] - sigmas[i]) * sum(w * fresh[k] for k, w in form.items())
    return z


def test_misses_are_what_each_interval_lacks_to_the_full_trajectory() -> None:
    sigmas = shifted_grid(9)
    latents, velocities = euler(mixture(), noise(1)[0], sigmas)
    made = plan([0, 2, 3, 5, 7], HOLD, PLAIN, ADAMS, Jvp(2), Released(3))
    forms = bind(made, sigmas).forms
    found = misses(made, sigmas)
    assert found.ends.tolist() == [2, 5, 7, 9]
    for end, weights in zip(found.ends, found.weights, strict=True):
        start = max(k for k in made.knots if k < end)
        lands = latents[start].clone()
        for i in range(start, end):
            step = sum(w * velocities[k] for k, w in forms[i].items())
            lands += (sigmas[i + 1] - sigmas[i]) * step
        missed = torch.from_numpy(weights) @ velocities
        torch.testing.assert_close(missed, latents[end] - lands, rtol=1e-9, atol=1e-12)


def test_where_velocities_depend_on_sigma_only_the_prediction_is_what_replay_measures() -> None:
    """There an error is carried to the end as it is, A = 1, so nothing is unknown."""
    sigmas = shifted_grid(12)
    fields = [polynomial(c) for c in noise(3 * 4).reshape(3, 4, 16)]
    runs = [euler(field, torch.zeros(16).double(), sigmas) for field in fields]
    profile = profile_of([v for _, v in runs], sigmas, ends=[z[-1] for z, _ in runs])
    made = plan([0, 2, 5, 8], HOLD, PLAIN, HOLD, ADAMS)
    lands = [replay(field, torch.zeros(16).double(), made, sigmas) for field in fields]
    off = torch.stack([z[-1] for z, _ in runs]) - torch.stack(lands)
    found = predict(profile, made)
    assert found.psnr_latent == pytest.approx(psnr(off, profile.latent_range), abs=0.006)
    assert found.low < found.psnr_latent < found.high


def test_one_inexact_interval_is_carried_by_the_measured_propagation() -> None:
    profile = profile_flow(mixture(), noise(3), shifted_grid(8))
    without = replace(
        profile,
        propagation_sigmas=np.empty(0),
        propagation_index=np.empty(0, np.int64),
        propagation=np.empty((0, 0)),
    )
    made = held([0, 1, 2, 3, 4, 6, 7])
    gain = 20 * np.log10(profile.propagation_by_step()[6])
    carried, plain = predict(profile, made), predict(without, made)
    assert abs(gain) > 0.1
    assert carried.psnr_latent == pytest.approx(plain.psnr_latent - gain, abs=0.011)
    low, high = 20 * np.log10([profile.propagation_by_step(q)[6] for q in (0.9, 0.1)])
    assert carried.low == pytest.approx(plain.low - low, abs=0.011)
    assert carried.high == pytest.approx(plain.high - high, abs=0.011)


def test_the_interval_spans_errors_that_add_up_and_errors_that_are_independent() -> None:
    """Two equal errors in line: 6 dB worse than one; as if independent: 3 dB."""
    sigmas = uniform_grid(6)
    velocities = torch.tensor([0.0, 1, 0, 0, 1, 0]).double()[:, None] * torch.ones(2)
    profile = profile_of([velocities], sigmas)
    one = predict(profile, held([0, 2, 3, 4, 5]))
    two = predict(profile, held([0, 2, 3, 5]))
    assert one.psnr_latent == pytest.approx(20 * np.log10(4 * 6), abs=0.006)
    assert (one.low, one.high) == pytest.approx(
        (one.psnr_latent - MARGIN, one.psnr_latent + MARGIN)
    )
    assert two.psnr_latent == pytest.approx(one.psnr_latent - 20 * np.log10(2), abs=0.011)
    assert two.low == pytest.approx(two.psnr_latent - MARGIN, abs=0.011)
    assert two.high == pytest.approx(one.psnr_latent - 10 * np.log10(2) + MARGIN, abs=0.011)


def test_a_plan_of_all_steps_is_exact() -> None:
    profile = mixture_profile(6)
    exact = Quality(psnr_latent=CEILING, low=CEILING, high=CEILING)
    assert predict(profile, held(range(6))) == exact


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1e100])
def test_no_figure_is_lost_to_latents_without_range_or_errors_without_bound(scale: float) -> None:
    base = mixture_profile(6)
    profiles = [
        replace(base, moments=base.moments * [0.0, scale]),
        replace(base, grams=base.grams * scale),
        replace(base, moments=base.moments * 0, grams=base.grams * 0),
    ]
    for profile in profiles:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            found = predict(profile, held([0, 3]))
        assert -CEILING <= found.low <= found.psnr_latent <= found.high <= CEILING


def test_gains_that_others_are_predicted_worse_with_lower_the_prediction_by_as_much() -> None:
    profile, made = mixture_profile(8), plan([0, 3, 5], HOLD, ADAMS, ADAMS)
    plain = predict(profile, made)
    fit = GainFit(shrinkage=0.1, fitted=0.01, cross_validated=0.02)
    worse = predict(profile, made, fit)
    lucky = predict(profile, made, fit.model_copy(update={"cross_validated": 0.005}))
    assert worse.psnr_latent == pytest.approx(plain.psnr_latent - 20 * np.log10(2), abs=0.011)
    assert lucky == plain


def test_prompts_are_what_is_resampled() -> None:
    """Doubling each prompt's samples tells nothing new; as many more prompts would."""
    base = mixture_profile(8, samples=6)
    twice = np.repeat(np.arange(6), 2)
    doubled = replace(
        base,
        settings=base.settings.model_copy(update={"samples_total": 12}),
        sample_index=np.arange(12),
        prompt_index=twice,
        **{
            name: values[twice]
            for name, values in base.tensors().items()
            if name in ("seeds", "grams", "l1", "seconds", "moments")
        },
    )
    alone = replace(base, prompt_index=np.arange(6))
    made = held([0, 2, 5])
    assert predict(doubled, made) == predict(alone, made)
    more = predict(replace(doubled, prompt_index=np.arange(12)), made)
    assert more.high < predict(doubled, made).high


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_replay_on_fresh_noise_measures_what_was_predicted(seed: int) -> None:
    """At 11 of 12 budgets at least within the interval, on average within 3 dB."""
    field, sigmas = mixture(seed), shifted_grid(30)
    profile: Profile = profile_flow(field, noise(24, seed=5), sigmas)
    fresh = noise(48, seed=99)
    full = euler(field, fresh, sigmas)[0][-1]
    inside: list[bool] = []
    gaps: list[float] = []
    for options in ({}, {"planner": "pssp", "predictors": ("hold", "jvp")}):
        made = solve(profile, (3, 5, 8, 12, 16, 20), **options)
        for each in made.replayable().plans:
            assert made.provenance is not None
            record = made.provenance.record(each.budget)
            assert record is not None
            expected = predict(profile, each, record.fit)
            assert record.predicted == expected
            measured = psnr(replay(field, fresh, each, sigmas) - full, profile.latent_range)
            inside.append(expected.low <= measured <= expected.high)
            gaps.append(abs(expected.psnr_latent - measured))
    assert sum(inside) >= 11
    assert np.mean(gaps) < 3
