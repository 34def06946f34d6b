"""Where a run enters a schedule: at its first step, or in mid-grid as image-to-image does."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from ...errors import GridMismatchError, MismatchError, StepCountError
from ...grid import check_grid, check_levels
from ...schedule import Grid, Plan, Schedule
from .sampler import run_sigmas


@dataclass(frozen=True, slots=True)
class Entry:
    """What one run follows.

    Attributes:
        plan: The schedule's plan, or its end.
        sigmas: The run's own noise levels, from its first step on, each once.
        start: The schedule's step that the run begins with.
    """

    plan: Plan
    sigmas: tuple[float, ...]
    start: int


def find_entry(schedule: Schedule, plan: Plan, scheduler: Any, first: int) -> Entry:
    """Match a run's noise levels with the schedule's grid.

    Args:
        schedule: What the run is to follow.
        plan: The plan chosen from it.
        scheduler: The run's scheduler, its timesteps set.
        first: Index in ``scheduler.sigmas`` of the run's first step.

    Raises:
        StepCountError: Another number of steps than the schedule, or a start in mid-grid that
            is not on the schedule's grid.
        GridMismatchError: As many steps as the schedule, on other noise levels.
    """
    sigmas = run_sigmas(scheduler, first)
    grid, steps = schedule.grid, len(sigmas) - 1
    if steps < grid.steps and _is_end(grid, sigmas, scheduler):
        check_levels(sigmas)
        start = grid.steps - steps
        return Entry(enter(plan, start), sigmas, start)
    if first and (steps != grid.steps or grid.sigmas is None):
        raise StepCountError(
            f"this run starts at step {first} of its grid and takes {steps} steps (as "
            f"image-to-image does), which are not the last steps of the schedule's grid of "
            f"{grid.steps}: pass num_inference_steps={grid.steps} on the schedule's noise levels, "
            "calibrate for this use, or run without the schedule"
        )
    check_grid(grid, sigmas)
    return Entry(plan, sigmas, 0)


def _is_end(grid: Grid, sigmas: Sequence[float], scheduler: Any) -> bool:
    """Whether a shorter run's noise levels are the last ones of the schedule's grid."""
    if grid.sigmas is None:
        return len(run_sigmas(scheduler, 0)) - 1 == grid.steps
    end = grid.sigmas[-len(sigmas) :]
    off = [abs(a - b) for a, b in zip(sigmas, end, strict=True)]
    nearest = min(abs(sigma - sigmas[0]) for sigma in grid.sigmas)
    return off[0] <= nearest and max(off) <= grid.tolerance


def check_some_entry(schedule: Schedule, plan: Plan, scheduler: Any) -> None:
    """Refuse a run that fits nowhere, although only its first timestep tells where it starts.

    Raises:
        StepCountError: As :func:`find_entry`, for a run that starts at its first noise level.
        GridMismatchError: Likewise.
    """
    starts = 1 if schedule.grid.sigmas is None else len(scheduler.sigmas) - 1
    refusal: MismatchError | None = None
    for first in range(starts):
        try:
            find_entry(schedule, plan, scheduler, first)
        except (StepCountError, GridMismatchError) as error:
            refusal = refusal or error
        else:
            return
    if refusal is not None:
        raise refusal


def enter(plan: Plan, start: int) -> Plan:
    """The end of a plan for a run that begins at step ``start``, counted from there.

    The first step becomes a knot; later knots stay. A predictor keeps what it can have since the
    start: the gains for the knots known by then, and a window that does not reach before it;
    else the interval is held. A knot's bound stays where what is promised there is made of the same
    knots as in the whole plan, and is infinite elsewhere.

    Args:
        plan: For the whole grid.
        start: 0 ≤ start < T.

    Example:
        >>> from meancache_runtime.predictors import Hold, Jvp
        >>> enter(Plan(2, (0, 4), (Hold(), Jvp(3))), 2)
        Plan(budget=2, knots=(0, 2), intervals=(Hold(), Hold()), innovation=None)
    """
    first = bisect_right(plan.knots, start) - 1
    knots = (0, *(knot - start for knot in plan.knots[first + 1 :]))
    intervals = tuple(
        predictor.since_start(knot, known)
        for known, (knot, predictor) in enumerate(
            zip(knots, plan.intervals[first:], strict=True), start=1
        )
    )
    bounds = None if plan.innovation is None else _bounds_since(plan, start, first)
    return Plan(len(knots), knots, intervals, bounds)


def _bounds_since(plan: Plan, start: int, first: int) -> tuple[float, ...]:
    assert plan.innovation is not None
    entered = (*plan.knots[:first], start, *plan.knots[first + 1 :])
    return tuple(
        plan.innovation[n - 1]
        if entered[max(first, n - 2) : n] == plan.knots[max(0, n - 2) : n]
        else inf
        for n in range(first + 1, len(plan.knots))
    )
