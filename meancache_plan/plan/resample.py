"""Plans from resampled calibrations: what would have been planned from other prompts?

What an interval costs on each sample is computed once; a resampled calibration only weighs the
samples anew. Two things stay as all samples have them: the propagation of errors, which too few
samples are measured for, and the gains with which ``fitted`` is scored.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.objective import Measurements, Objective, Statistic
from meancache_plan.core.parallel_edges import Edge
from meancache_plan.plan.planners import find_planner

WORKSPACE = 1 << 28
"""Bytes that the weights of resampled calibrations may take together."""

Draws = NDArray[np.int64]
"""How often each sample is in each resampled calibration, int64 [R, S]."""

Intervals = tuple[Edge, ...]
"""A plan's intervals."""


def of_prompts(prompt_index: NDArray[np.int64], drawn: Iterable[NDArray[np.int64]]) -> Draws:
    """Return the draws that have all samples of the drawn prompts.

    Args:
        prompt_index: The prompt of each sample, int64 [S].
        drawn: For each draw places among the distinct prompts, in ascending order of these; a
            prompt may be drawn several times.
    """
    prompts, place = np.unique(prompt_index, return_inverse=True)
    counts = [np.bincount(row, minlength=len(prompts)) for row in drawn]
    return np.stack(counts)[:, place]


def resampled(
    objective: Objective, costs: NDArray[np.float64], draws: Draws
) -> NDArray[np.float64]:
    """Reduce the samples' costs [S, …] to C as each draw has it, float64 [R, …]."""
    if Statistic.parse(objective.statistic).kind != "mean":
        return np.stack([objective.reduce(np.repeat(costs, row, axis=0)) for row in draws])
    shares = draws / draws.sum(axis=1, keepdims=True)
    found = np.tensordot(shares, costs, axes=1)
    for i in np.flatnonzero((draws == 1).all(axis=1)):
        found[i] = objective.reduce(costs)  # to the last bit: else ties would break otherwise
    return found


def plan_draws(
    measured: Measurements,
    objective: Objective,
    planner: str,
    draws: Draws,
    budgets: Sequence[int],
) -> list[dict[int, Intervals]]:
    """Plan every budget from each resampled calibration.

    Raises:
        InputError: The planner is unknown or cannot meet the objective, or γ is too large.
    """
    method, steps = find_planner(planner).method(), len(measured.sigmas) - 1
    at_once = max(1, WORKSPACE // (2 * len(objective.predictors) * steps**3))
    found: list[dict[int, Intervals]] = []
    for first in range(0, len(draws), at_once):
        intervals: list[Edge] = []
        parts: list[NDArray[np.float64]] = []
        for chosen, costs in method.costs(measured, objective):
            intervals += chosen
            parts.append(resampled(objective, costs, draws[first : first + at_once]))
        search = method.search(intervals, steps)
        for weights in objective.power(np.hstack(parts)):
            paths = search(weights, budgets, 1)
            found.append({budget: best.edges for budget, (best, *_) in paths.items()})
    return found


def prices(
    measured: Measurements, objective: Objective, planner: str, plans: Iterable[Intervals]
) -> Mapping[Edge, float]:
    """Return C^γ on all samples of every interval of these plans.

    Raises:
        InputError: The planner is unknown or cannot meet the objective, or γ is too large.
    """
    wanted = {interval for plan in plans for interval in plan}
    found: dict[Edge, float] = {}
    for chosen, costs in find_planner(planner).method().costs(measured, objective):
        places = [place for place, interval in enumerate(chosen) if interval in wanted]
        weights = objective.power(objective.reduce(costs[:, places]))
        found.update(zip((chosen[place] for place in places), weights.tolist(), strict=True))
    return found
