"""The sampler's grid of noise levels, and what can be counted on it.

A grid is ``sigmas`` σ₀ … σ_T; step i goes σᵢ → σᵢ₊₁; an edge t→s covers the steps t … s−1.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from meancache_plan.errors import GridError, InputError
from meancache_runtime.grid import moving
from meancache_runtime.schedule import MAX_STEPS

ROUNDING = 1e-9
"""What a sum of a thousand weights may be off by."""

SAME = 1e-6
"""What noise levels may differ by that are the same."""


def check_sigmas(sigmas: Sequence[float]) -> tuple[float, ...]:
    """Return the grid as a tuple of floats.

    Args:
        sigmas: T + 1 noise levels in 0 … 1, strictly monotone, T ≥ 1 (dimensionless).

    Raises:
        GridError: The levels are too few or too many, not finite, out of range or not monotone.

    Example:
        >>> check_sigmas([1.0, 0.5, 0.0])
        (1.0, 0.5, 0.0)
    """
    grid = _levels(sigmas)
    _check_monotone(grid)
    return grid


def parted(sigmas: Sequence[float]) -> tuple[tuple[float, ...], int]:
    """Return the grid of the steps that move the sample, and how many of no length follow.

    Args:
        sigmas: As for :func:`check_sigmas`, but that the last level may be repeated.

    Raises:
        GridError: As :func:`check_sigmas`.

    Example:
        >>> parted([1.0, 0.5, 0.0, 0.0])
        ((1.0, 0.5, 0.0), 1)
    """
    levels = _levels(sigmas)
    grid = moving(levels)
    _check_monotone(grid if len(grid) > 1 else levels)
    return grid, len(levels) - len(grid)


def same(sigmas: Sequence[float], others: Sequence[float]) -> bool:
    """Whether noise levels are the same, but for rounding."""
    pairs = zip(sigmas, others, strict=False)
    return len(sigmas) == len(others) and all(abs(a - b) <= SAME for a, b in pairs)


def _levels(sigmas: Sequence[float]) -> tuple[float, ...]:
    """As floats, as many as a grid may have, each in its range. Raises GridError."""
    try:
        grid = tuple(float(sigma) for sigma in sigmas)
    except (TypeError, ValueError) as error:
        raise GridError(f"not noise levels ({error}): give a list of T + 1 numbers") from error
    if not 2 <= len(grid) <= MAX_STEPS + 1:
        raise GridError(f"a grid has 2 to {MAX_STEPS + 1} noise levels (T + 1), not {len(grid)}")
    for i, sigma in enumerate(grid):
        if not (math.isfinite(sigma) and 0.0 <= sigma <= 1.0):
            raise GridError(f"sigmas[{i}] is {sigma}; noise levels lie in 0 to 1")
    return grid


def _check_monotone(grid: Sequence[float]) -> None:
    falls = grid[0] > grid[1]
    for i, (a, b) in enumerate(pairwise(grid)):
        if a == b or (a > b) != falls:
            raise GridError(f"sigmas[{i}] = {a} and sigmas[{i + 1}] = {b}: not strictly monotone")


def check_finer_steps(finer_steps: int | None, steps: int) -> None:
    """Refuse a finer run that has no more steps than the run of ``steps``. Raises InputError."""
    if finer_steps is not None and not steps < finer_steps <= MAX_STEPS:
        raise InputError(
            f"finer_steps {finer_steps}: a finer run has more steps than the run's {steps}: "
            f"choose {steps + 1} to {MAX_STEPS}"
        )


def edges(steps: int, max_edge: int, switches: Sequence[int] = ()) -> Iterator[tuple[int, int]]:
    """Yield every edge (t, s) with 0 ≤ t < s ≤ ``steps`` and s − t ≤ ``max_edge``; t, then s.

    No edge passes over one of the ``switches``.

    Example:
        >>> list(edges(3, 2))
        [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
        >>> list(edges(3, 2, switches=[1]))
        [(0, 1), (1, 2), (1, 3), (2, 3)]
    """
    for start in range(steps):
        for end in range(start + 1, furthest(start, steps, max_edge, switches) + 1):
            yield start, end


def furthest(start: int, steps: int, max_edge: int, switches: Sequence[int] = ()) -> int:
    """Return the last end that an edge from ``start`` may have.

    Args:
        start: Step t, below ``steps``.
        steps: T.
        max_edge: Longest edge, in steps.
        switches: Steps at which another denoiser takes over; they must be knots.
    """
    return min(start + max_edge, steps, *(switch for switch in switches if switch > start))


def uniform_knots(steps: int, budget: int, switches: Sequence[int] = ()) -> tuple[int, ...]:
    """Return ``budget`` knots from 0, whose intervals differ in length by at most one step.

    For each of the ``switches``, the nearest other knot is moved there.

    Raises:
        InputError: ``budget`` is not in 1 … ``steps``, or too small for the switches.

    Example:
        >>> uniform_knots(10, 4)
        (0, 2, 5, 7)
        >>> uniform_knots(10, 4, switches=[6])
        (0, 2, 6, 7)
    """
    if not 1 <= budget <= steps:
        raise InputError(f"budget {budget} is out of range: choose 1 to {steps}, the steps")
    return _pinned([i * steps // budget for i in range(budget)], switches)


def _pinned(knots: Sequence[int], switches: Sequence[int]) -> tuple[int, ...]:
    """The knots, the nearest to each switch moved there; 0 and the switches stay."""
    if len(knots) <= len(switches):
        raise InputError(
            f"budget {len(knots)}: the denoiser changes at step {', '.join(map(str, switches))}, "
            f"which needs a knot there: choose {len(switches) + 1} or more"
        )
    found, fixed = set(knots), {0, *switches}
    for switch in switches:
        if switch not in found:
            found.remove(min(sorted(found - fixed), key=lambda knot: abs(knot - switch)))
            found.add(switch)
    return tuple(sorted(found))


def graded_knots(
    steps: int, budget: int, ratio: float, switches: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return ``budget`` knots from 0 whose last interval is about ``ratio`` times the first.

    The lengths follow a geometric progression, rounded; no interval is empty. For each of the
    ``switches``, the nearest other knot is moved there.

    Raises:
        InputError: ``budget`` is not in 1 … ``steps``, or too small for the switches, or ``ratio``
            is not in 1e-6 … 1e6.

    Example:
        >>> graded_knots(20, 4, 4.0)
        (0, 2, 6, 11)
    """
    if not 1e-6 <= ratio <= 1e6:
        raise InputError(f"ratio {ratio} of last to first interval: choose 1e-6 to 1e6")
    places = range(len(uniform_knots(steps, budget)))
    lengths = [ratio ** (i / max(budget - 1, 1)) for i in places]
    knots: list[int] = []
    for i in range(budget):
        wanted = round(steps * sum(lengths[:i]) / sum(lengths))
        least = knots[-1] + 1 if knots else 0
        knots.append(min(max(wanted, least), steps - budget + i))
    return _pinned(knots, switches)


def spread_knots(
    weights: Sequence[float], budget: int, switches: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return ``budget`` knots from 0 that lie as densely as ``weights`` say.

    As no step has two knots, the weights are scaled until they, none of them above 1, sum up to
    the budget; knot k is the step at which their sum passes k. For each of the ``switches``, the
    nearest other knot is moved there.

    Args:
        weights: How many knots a step should have beside the others, all above 0, one for each of
            the T steps.
        budget: Knots, 1 … T.
        switches: Steps at which another denoiser takes over; they must be knots.

    Raises:
        InputError: ``budget`` is not in 1 … T, or too small for the switches.

    Example:
        >>> spread_knots([1.0] * 10, 4)
        (0, 2, 5, 7)
        >>> spread_knots([5.0, 5.0, 1.0, 1.0, 1.0, 1.0], 4)
        (0, 1, 2, 4)
    """
    uniform_knots(len(weights), budget)  # refuses the budget
    full, rest = 0, sum(weights)  # steps that are knots for sure, and the weight of the others
    for weight in sorted(weights, reverse=True):
        if weight * (budget - full) <= rest:
            break
        full, rest = full + 1, rest - weight
    knots: list[int] = []
    passed = 0.0
    for step, weight in enumerate(weights):
        passed += min(1.0, weight * (budget - full) / rest) if rest > 0 else 1.0
        if passed > len(knots) + ROUNDING:
            knots.append(step)
    return _pinned(knots, switches)


def shifted_sigmas(steps: int, shift: float) -> tuple[float, ...]:
    """Return the grid of a flow-matching scheduler with a static shift.

    σ = shift·t / (1 + (shift − 1)·t), t = 1 − i/steps: what pipelines make of a
    ``FlowMatchEulerDiscreteScheduler`` with ``shift`` and no dynamic shifting.

    Args:
        steps: T ≥ 1.
        shift: Positive; 1 gives equal steps.

    Raises:
        InputError: One of them is out of range.

    Example:
        >>> shifted_sigmas(2, 3.0)
        (1.0, 0.75, 0.0)
    """
    if not (1 <= steps <= MAX_STEPS and math.isfinite(shift) and shift > 0):
        raise InputError(
            f"{steps} steps, shift {shift}: give 1 to {MAX_STEPS}, and a shift above 0"
        )
    times = [1 - i / steps for i in range(steps + 1)]
    return check_sigmas([shift * t / (1 + (shift - 1) * t) for t in times])
