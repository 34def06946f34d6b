"""Knots by search, as BudCache finds them: simulated annealing, then hill climbing.

What is minimised is the final error of calibration samples when velocities are held, the mean of
log mean squared error. Its schedule alignment, which moves noise levels, is left out: all schedules
here are of one grid.
"""

import math
import random
from collections.abc import Callable

from benchmarks.contest import Bench, Judge
from meancache_plan.core.grid import uniform_knots
from meancache_plan.plan.simple_plans import hold_plan
from meancache_runtime.schedule import Plan

WARM, COLD = 1.0, 0.05
"""Temperatures in dB: a change for the worse by so much is taken with probability 1/e."""

CLIMBING = 0.3
"""Share of the trials that are kept for hill climbing."""

Knots = tuple[int, ...]


def annealed(contest: Bench, budget: int, trials: int) -> Plan:
    """The best held plan that so many trials find, on the calibration samples."""
    judge = Judge(contest, contest.fitted, "annealing")
    steps = contest.profile.steps

    def quality(knots: Knots) -> float:
        return judge.mean(hold_plan(knots), budget)

    start = tuple(uniform_knots(steps, budget))
    return hold_plan(search(quality, start, steps, trials))


def search(quality: Callable[[Knots], float], start: Knots, steps: int, trials: int) -> Knots:
    """The best knots of so many trials, ``quality`` in dB; the same each time.

    A trial moves one knot, never the first, to a step that is none.
    """
    rng = random.Random(0)
    climbing = round(CLIMBING * trials)
    current = best = (quality(start), start)
    for trial in range(trials if 1 < len(start) < steps else 0):
        warm = trial < trials - climbing
        if trial == trials - climbing:
            current = best
        found = moved(current[1], steps, rng)
        value = (quality(found), found)
        share = trial / max(trials - climbing, 1)
        temperature = WARM * (COLD / WARM) ** share
        worse = current[0] - value[0]
        if worse <= 0 or (warm and rng.random() < math.exp(-worse / temperature)):
            current = value
        best = max(best, current)
    return best[1]


def moved(knots: Knots, steps: int, rng: random.Random) -> Knots:
    """One knot but the first put to a step that is none; there must be both."""
    gone = rng.choice(knots[1:])
    free = sorted(set(range(1, steps)) - set(knots))
    return tuple(sorted({*knots, rng.choice(free)} - {gone}))
