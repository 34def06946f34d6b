"""A plan as a scan over its refreshes is a pure function, and gives the plan's own latents."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.experimental import checkify
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from meancache_plan.source.catalog import schedule_files
from meancache_runtime import integrate, load_schedule
from meancache_runtime.errors import BudgetError, GridMismatchError, ReplayError, StepCountError
from meancache_runtime.hosts.jax import scan_sampler
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Plan
from tests.jax_names import enable_x64, shard_map
from tests.runtime import by_hand
from tests.runtime.plans_to_bind import PLANS, SIGMAS, field

jax.config.update("jax_num_cpu_devices", 2)
NOISE = np.linspace(-1, 1, 6)
PLAN = PLANS["adams"]


def made(plan: Plan = PLAN, velocity: Any = field, **grid: Any) -> Any:
    schedule = by_hand.schedule(len(SIGMAS) - 1, plan.knots, plan.intervals, SIGMAS, **grid)
    return scan_sampler(velocity, schedule, len(plan.knots))


def alone(noise: Any, gain: Any) -> Any:
    """The latents of the plan in float64, by hand, of a field with an argument."""
    noise = torch.from_numpy(np.array(noise, np.float64))
    return by_hand.integrate(lambda z, s: scaled(z, s, float(gain)), noise, PLAN, SIGMAS).numpy()


def scaled(z: Any, sigma: Any, gain: Any) -> Any:
    return field(z, sigma) * gain


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("displaced", [False, True])
def test_its_latents_are_those_of_the_plan_followed_by_hand(name: str, displaced: bool) -> None:
    grid = {"finer_steps": 60} if displaced else {}
    noise = torch.from_numpy(NOISE)
    expected = by_hand.integrate(field, noise, PLANS[name], SIGMAS, displaced).numpy()
    with enable_x64(True):
        found = made(PLANS[name], **grid)(jnp.asarray(NOISE))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", schedule_files())
def test_shipped_plans_give_what_integrate_gives(name: str) -> None:
    schedule = load_schedule(schedule_files()[name])
    sigmas = schedule.grid.sigmas or tuple(1 - i / 50 for i in range(51))
    for budget in {min(schedule.budgets), max(schedule.budgets)}:
        expected = integrate(field, NOISE, schedule, budget=budget, sigmas=sigmas)
        found = scan_sampler(field, schedule, budget, sigmas)(jnp.asarray(NOISE, jnp.float32))
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_the_model_is_traced_once_runs_once_a_refresh_and_nothing_branches() -> None:
    traced, ran = [], []

    def velocity(z: Any, sigma: Any) -> Any:
        traced.append(1)
        jax.debug.callback(lambda s: ran.append(float(s)), sigma, ordered=True)
        return field(z, sigma)

    sample = jax.jit(made(velocity=velocity))
    for _ in range(2):
        sample(jnp.ones(6)).block_until_ready()
    jax.effects_barrier()
    assert len(traced) == 1
    assert ran == pytest.approx([SIGMAS[k] for k in PLAN.knots] * 2)
    program = str(jax.make_jaxpr(made())(jnp.ones(6)))
    assert "scan" in program
    assert "cond" not in program


def test_it_takes_the_place_of_a_loop_over_all_steps_in_a_compiled_function() -> None:
    levels = jnp.array(SIGMAS)

    def euler(step: Any, latents: Any) -> Any:
        return latents + (levels[step + 1] - levels[step]) * field(latents, levels[step])

    sample = made(PLANS["every step"])
    noise = jnp.asarray(NOISE, jnp.float32)
    expected = jax.jit(lambda z: jax.lax.fori_loop(0, len(SIGMAS) - 1, euler, z))(noise)
    np.testing.assert_allclose(jax.jit(sample)(noise), expected, rtol=0, atol=1e-6)


def test_it_is_the_same_function_compiled_and_over_a_batch() -> None:
    sample, noise = made(velocity=scaled), np.stack([NOISE, 0.5 * NOISE, NOISE**2])
    gains = [1.0, 0.5, 1.5]
    batch, factors = jnp.asarray(noise, jnp.float32), jnp.array(gains)
    expected = [alone(z, gain) for z, gain in zip(noise, gains, strict=True)]
    for transformed in (jax.vmap(sample), jax.jit(jax.vmap(sample))):
        np.testing.assert_allclose(transformed(batch, factors), expected, rtol=0, atol=1e-5)


def test_its_gradients_are_those_of_finite_differences() -> None:
    def loss(found: Any) -> Any:
        return (found * found).sum()

    def by_differences(function: Any, at: float, step: float = 1e-6) -> float:
        return (function(at + step) - function(at - step)) / (2 * step)

    with enable_x64(True):
        sample = made(velocity=scaled)
        gradients = jax.jit(jax.grad(lambda z, gain: loss(sample(z, gain)), argnums=(0, 1)))
        of_noise, of_gain = gradients(jnp.asarray(NOISE), jnp.array(1.1))
    assert of_gain == pytest.approx(by_differences(lambda g: loss(alone(NOISE, g)), 1.1), rel=1e-6)
    for i, unit in enumerate(np.eye(len(NOISE))):
        slope = by_differences(lambda s, unit=unit: loss(alone(NOISE + s * unit, 1.1)), 0.0)
        assert of_noise[i] == pytest.approx(slope, rel=1e-6)


def test_a_sample_that_is_divided_among_devices_is_the_same() -> None:
    def velocity(z: Any, sigma: Any, gain: Any) -> Any:
        """Moved by the mean of the whole sample, which no device has alone."""
        return scaled(z, sigma, gain) + jax.lax.pmean(z.mean(), "x")

    def whole(z: Any, sigma: Any) -> Any:
        return field(z, sigma) + z.mean()

    mesh = Mesh(np.array(jax.devices()), "x")
    assert mesh.size == 2
    sample = shard_map(made(velocity=velocity), mesh=mesh, in_specs=(P("x"), P()), out_specs=P("x"))
    found = jax.jit(sample)(np.float32(NOISE), np.float32(1.0))
    assert len(found.addressable_shards) == 2
    expected = by_hand.integrate(whole, torch.from_numpy(NOISE), PLAN, SIGMAS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_latents_keep_their_dtype_and_velocities_are_kept_in_float32() -> None:
    """A velocity's last bits decide, which bfloat16 does not have."""
    plan = Plan(2, (0, 1), (Adams((0.0,)), Adams((0.0, 1.0))))

    def velocity(z: Any, sigma: Any) -> Any:
        return jnp.ones_like(z, jnp.float32) + sigma * 2.0**-10

    found = made(plan, velocity)(jnp.zeros(6, jnp.bfloat16))
    expected = made(plan, velocity)(jnp.zeros(6))
    assert found.dtype == jnp.bfloat16
    assert float(expected[0]) != 0.0
    np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=2.0**-8)


def test_what_a_plan_was_not_made_for_is_refused_when_the_function_is_made() -> None:
    schedule = by_hand.schedule(20, (0, 4), [Hold(), Hold()], SIGMAS)
    with pytest.raises(StepCountError, match="made for 20"):
        scan_sampler(field, schedule, 2, by_hand.shifted(21))
    with pytest.raises(GridMismatchError, match="differ by"):
        scan_sampler(field, schedule, 2, by_hand.shifted(20, 2.0))
    with pytest.raises(GridMismatchError, match="pass sigmas"):
        scan_sampler(field, by_hand.schedule(20, (0, 4)), 2)
    with pytest.raises(BudgetError, match="no plan for budget 5"):
        scan_sampler(field, schedule, 5)
    for other in (jnp.int32, jnp.bool_, jnp.complex64):
        with pytest.raises(ReplayError, match="give a floating dtype"):
            made()(jnp.ones(6, other))
    with pytest.raises(ValueError, match="broadcast"):
        made(velocity=lambda z, _: jnp.concatenate([z, z]))(jnp.ones(6))


def test_a_velocity_that_is_not_finite_goes_on_into_the_latents_and_is_found_by_checkify() -> None:
    def velocity(z: Any, sigma: Any) -> Any:
        return jnp.where(sigma < SIGMAS[PLAN.knots[2]] + 1e-3, jnp.nan, field(z, sigma))

    sample = made(velocity=velocity)
    assert jnp.isnan(sample(jnp.ones(6))).all()
    for checked in (checkify.checkify(sample), jax.jit(checkify.checkify(jax.vmap(sample)))):
        error, _ = checked(jnp.ones((2, 6)))
        assert f"σ = {SIGMAS[PLAN.knots[2]]:.4f} is NaN" in (error.get() or "")
    error, _ = checkify.checkify(made())(jnp.ones(6))
    assert error.get() is None
