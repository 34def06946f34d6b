"""A loop of one's own: Euler steps with any velocity function, over any array type."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from ..arrays import Array
from ..binding import bind
from ..errors import GridMismatchError
from ..grid import check_grid
from ..machine import Replay
from ..schedule import Replayable, Schedule, as_schedule


def integrate(
    velocity: Callable[[Array, float], Array],
    noise: Array,
    schedule: Schedule | Replayable,
    *,
    budget: int,
    sigmas: Sequence[float] | None = None,
) -> Array:
    """Follow a schedule's plan through Euler steps with any velocity function.

    Args:
        velocity: ``velocity(latents, sigma) -> velocity`` of the same shape as ``latents``.
        noise: Latents at σ₀: an array of any library and shape, floating dtype.
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
        budget: One of ``schedule.budgets``; ``velocity`` is called once per knot.
        sigmas: The noise levels to run on, length T + 1; the schedule's own by default.

    Returns:
        Latents at σ_T.

    Raises:
        BudgetError: The schedule has no plan for this budget.
        StepCountError: ``sigmas`` has another number of steps than the schedule.
        GridMismatchError: ``sigmas`` is farther off than the schedule allows, or is missing
            although the schedule does not state a grid.
    """
    schedule = as_schedule(schedule)
    plan = schedule.plan(budget)
    if sigmas is None:
        if schedule.grid.sigmas is None:
            raise GridMismatchError("the schedule states no grid: pass sigmas=…, from σ₀ to σ_T")
        sigmas = schedule.grid.sigmas
    sigmas = tuple(float(sigma) for sigma in sigmas)
    check_grid(schedule.grid, sigmas)
    machine = Replay(bind(plan, sigmas, schedule.grid.displaced))
    latents, fresh = noise, noise
    for sigma, following in pairwise(sigmas):
        if machine.due:
            fresh = velocity(latents, sigma)
        latents = latents + (following - sigma) * machine.advance(fresh)
    return latents
