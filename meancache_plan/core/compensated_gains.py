"""Compensated gains: each interval makes up for what those before it missed, from a profile alone.

The velocities are those of the full runs, as if replay never left them; what a plan's intervals
miss of these is known as a combination of a trajectory's columns, the same for every sample. It is
carried from interval to interval, grown as errors were measured to grow, and an interval's gains
are those with which it ends nearest to the full runs' z_s with all that came before. Refinement's
closed-loop fit does the same on the states that replay really visits.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.columns import is_displaced
from meancache_plan.core.deviation import dense
from meancache_plan.core.gains import FittedGains, prompt_folds
from meancache_plan.core.objective import Measurements
from meancache_plan.core.predictors import ADAMS, Terms
from meancache_plan.core.reweighted import MAX_GAIN, Equations, solve

ORDER = 3
"""Terms of an interval, where so many knots are known."""

SHRINKAGE = 0.1
"""Ridge towards the plain rule, relative to each term's own size."""


def compensate_gains(
    measured: Measurements,
    knots: Sequence[int],
    growth: NDArray[np.float64],
    terms: Terms = ADAMS,
) -> FittedGains:
    """Fit the gains of all intervals in sequence, shrunk towards the plain rule of order 2.

    Samples are weighed by the inverse of their errors (:mod:`meancache_plan.core.reweighted`).

    Args:
        measured: A profile.
        knots: The plan's, ascending from 0.
        growth: How much an error made at each step grows by σ_T, float64 [T + 1], > 0.
        terms: What the gains scale.

    Returns:
        The gains, and the rms of what is missed of z_T in the end: with gains of all samples, and
        with gains that were fitted on other prompts.
    """
    intervals = _Intervals(measured, knots, growth, terms)
    folds = np.array(prompt_folds(measured.prompt_index))
    every = np.ones(folds.shape[1], dtype=bool)
    gains, missed = intervals.fit(every)
    apart = np.empty(len(every))
    for fold in folds:
        others = every if len(folds) == 1 else ~fold
        apart[fold] = intervals.squares(intervals.fit(others)[1])[fold]

    def rms(squares: NDArray[np.float64]) -> float:
        return float(np.sqrt(np.maximum(squares, 0.0).mean() / measured.numel))

    return FittedGains(tuple(gains), SHRINKAGE, rms(intervals.squares(missed)), rms(apart))


class _Intervals:
    """What each of a plan's intervals moves by, in terms and in truth, over the columns."""

    def __init__(
        self,
        measured: Measurements,
        knots: Sequence[int],
        growth: NDArray[np.float64],
        terms: Terms,
    ) -> None:
        sigmas, columns = measured.sigmas, measured.displacements
        ends, displaced = (*knots[1:], len(sigmas) - 1), is_displaced(columns)
        self._grams = measured.grams
        self._parts: list[NDArray[np.float64]] = []
        self._moved: list[NDArray[np.float64]] = []
        self._growth = [growth[start] / growth[end] for start, end in zip(knots, ends, strict=True)]
        for n, (start, end) in enumerate(zip(knots, ends, strict=True)):
            alone = end - start == 1 and not displaced
            count = 1 if alone else min(ORDER, terms.most, n + 1)
            forms = terms.forms(sigmas, knots[: n + 1], end, count, displaced)
            moved = np.zeros(columns.stop)
            moved[columns.start + start : columns.start + end] = np.diff(sigmas)[start:end]
            self._parts.append((sigmas[end] - sigmas[start]) * dense(forms, columns.stop))
            self._moved.append(moved)

    def fit(self, rows: NDArray[np.bool_]) -> tuple[list[tuple[float, ...]], NDArray[np.float64]]:
        """Gains of these samples, and what is missed in the end, over the columns."""
        grams, missed = self._grams[rows], np.zeros(self._grams.shape[1])
        gains: list[tuple[float, ...]] = []
        for parts, moved, growth in zip(self._parts, self._moved, self._growth, strict=True):
            target = moved + growth * missed
            stacked = np.vstack([parts, target])
            equations = Equations.of(stacked @ grams @ stacked.T)
            prior = np.array([1.0, 1.0, *[0.0] * len(parts)][: len(parts)])
            own = np.clip(solve(equations, prior, SHRINKAGE), -MAX_GAIN, MAX_GAIN)
            missed = target - own @ parts
            gains.append(tuple(own.tolist()))
        return gains, missed

    def squares(self, missed: NDArray[np.float64]) -> NDArray[np.float64]:
        """‖missed‖² of every sample, float64 [S]."""
        return np.einsum("i,sij,j->s", missed, self._grams, missed, optimize=True)
