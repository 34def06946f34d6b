"""A loop of one's own: Euler steps with any velocity function, over any array type."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from ..aloud import Aloud
from ..arrays import Array, elements
from ..binding import bind_schedule
from ..innovation import OnUnstable
from ..machine import Replay
from ..requests import warn_of
from ..schedule import Replayable, Schedule, as_schedule


def integrate(
    velocity: Callable[[Array, float], Array],
    noise: Array,
    schedule: Schedule | Replayable,
    *,
    budget: int,
    sigmas: Sequence[float] | None = None,
    on_unstable: OnUnstable = "warn",
) -> Array:
    """Follow a schedule's plan through Euler steps with any velocity function.

    Args:
        velocity: ``velocity(latents, sigma) -> velocity`` of the same shape as ``latents``.
        noise: Latents at σ₀: an array of any library and shape, floating dtype.
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
        budget: One of ``schedule.budgets``; ``velocity`` is called once per knot.
        sigmas: The noise levels to run on, length T + 1; the schedule's own by default.
        on_unstable: As for :func:`meancache_runtime.attach`; samples are the entries of the first
            axis, and an array of one axis is one sample.

    Returns:
        Latents at σ_T.

    Raises:
        BudgetError: The schedule has no plan for this budget.
        StepCountError: ``sigmas`` has another number of steps than the schedule.
        GridMismatchError: ``sigmas`` is farther off than the schedule allows, or is missing
            although the schedule does not state a grid.
        NonFiniteError: ``velocity`` gave NaN or infinite values.
        UnstableError: A sample left the plan's bounds, and that is to end the run.
        ReplayError: ``on_unstable`` is unknown, or is to act and the plan has no bounds.
    """
    warn_of({"elements": elements(noise)}, as_schedule(schedule), budget)
    machine = Replay(bind_schedule(schedule, budget, sigmas), on_unstable=on_unstable)
    aloud, latents, fresh = Aloud(), noise, noise
    for sigma, following in pairwise(machine.plan.sigmas):
        if machine.due:
            fresh = velocity(latents, sigma)
        latents = latents + (following - sigma) * machine.advance(fresh)
        aloud.say(machine.warning, "unstable")
    return latents
