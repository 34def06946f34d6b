"""JAX: a plan as a pure function, one scan over its refreshes.

The knots are known when the function is built, and in the scan every refresh does the same: call
the model, put its velocity into a ring, add a row of weights times the ring. So there is no branch,
and the model is traced once.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import checkify

from ..arrays import elements
from ..binding import bind_schedule
from ..errors import ReplayError
from ..requests import warn_of
from ..schedule import Replayable, Schedule, as_schedule
from ..table import Table

NOT_FINITE = (
    "the velocity at σ = {sigma:.4f} is NaN or infinite: see whether the model is so without the "
    "schedule too; if it is, try a wider dtype, and else a larger budget"
)


def scan_sampler(
    velocity: Callable[..., Array],
    schedule: Schedule | Replayable,
    budget: int,
    sigmas: Sequence[float] | None = None,
) -> Callable[..., Array]:
    """A function ``sample(noise, *arguments)`` that follows a schedule's plan.

    It is pure, for ``jit``, ``vmap``, ``grad`` and ``shard_map``. Velocities are kept in float32
    or, if the noise is wider, in its dtype; the latents keep the noise's.

    A traced function cannot refuse a velocity that is not finite: plainly called it gives NaN.
    ``checkify.checkify(sample)`` of ``jax.experimental`` finds it, and names its σ.

    Args:
        velocity: ``velocity(latents, sigma, *arguments)``, guided, of the latents' shape and any
            floating dtype. ``sigma`` is a scalar array, in the dtype that velocities are kept in;
            ``arguments`` are what ``sample`` is called with: weights, prompts, or whatever should
            be traced and not be a constant.
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
        budget: One of ``schedule.budgets``; the model runs so often.
        sigmas: The noise levels to run on, σ₀ … σ_T, as concrete numbers; the schedule's own by
            default.

    Returns:
        ``sample``: from noise at σ₀, of any shape and floating dtype, to the latents at σ_T. Of
        another dtype it raises ReplayError. It looks at no bounds (``on_unstable``).

    Raises:
        BudgetError: The schedule has no plan for this budget.
        StepCountError: ``sigmas`` has another number of steps than the schedule.
        GridMismatchError: ``sigmas`` is farther off than the schedule allows, or is missing
            although the schedule does not state a grid.

    Example:
        >>> sample = scan_sampler(velocity, load_schedule("schedule.json"), 10)  # doctest: +SKIP
        >>> latents = jax.jit(sample)(noise, params, prompt)  # doctest: +SKIP
    """
    readable = as_schedule(schedule)
    table = Table.of(bind_schedule(readable, budget, sigmas))
    places = _places(table)

    def sample(noise: Array, *arguments: object) -> Array:
        noise = _checked(noise)
        warn_of({"elements": elements(noise)}, readable, budget)
        own, kept = noise.dtype, jnp.promote_types(noise.dtype, jnp.float32)

        def refresh(
            state: tuple[Array, Array], row: tuple[Array, Array, Array]
        ) -> tuple[tuple[Array, Array], None]:
            (latents, ring), (sigma, place, weights) = state, row
            fresh = jnp.broadcast_to(velocity(latents, sigma, *arguments), latents.shape)
            checkify.debug_check(jnp.isfinite(fresh).all(), NOT_FINITE, sigma=sigma)
            ring = lax.dynamic_update_index_in_dim(ring, fresh.astype(kept), place, 0)
            moved = sum(weights[i] * ring[i] for i in range(table.history))
            return ((latents.astype(kept) + moved).astype(own), ring), None

        rows = (
            jnp.array(table.sigmas[:-1], kept),
            jnp.array(places),
            jnp.array(_weights(table, places), kept),
        )
        # No weight falls on a place of the ring before it is written.
        ring = jnp.broadcast_to(noise.astype(kept), (table.history, *noise.shape))
        (latents, _), _ = lax.scan(refresh, (noise, ring), rows)
        return latents

    return sample


def _checked(noise: Array) -> Array:
    """The noise, in a dtype in which latents keep what is added to them."""
    noise = jnp.asarray(noise)
    if not jnp.issubdtype(noise.dtype, jnp.floating):
        raise ReplayError(
            f"the noise is of {noise.dtype}, in which latents would be rounded at every refresh: "
            "give a floating dtype, noise.astype(jnp.float32)"
        )
    return noise


def _places(table: Table) -> tuple[int, ...]:
    """For each refresh the place in the ring that its velocity takes: the first that is free."""
    last, places = table.last_use, list[int]()
    for n in range(table.refreshes):
        taken = {places[j] for j in range(n) if last[j] >= n}
        places.append(next(i for i in range(table.history) if i not in taken))
    return tuple(places)


def _weights(table: Table, places: Sequence[int]) -> list[list[float]]:
    """The table's rows, each weight at its velocity's place in the ring: [N][history]."""
    rows = [[0.0] * table.history for _ in table.weights]
    for row, given in zip(rows, table.weights, strict=True):
        for j, weight in given.items():
            row[places[j]] = weight
    return rows
