"""Compensated gains: each interval makes up for what those before it missed, from a profile alone.

The velocities are those of the full runs, as if replay never left them; what a plan's intervals
miss of these is known as a combination of a trajectory's columns, the same for every sample. It is
carried from interval to interval, grown as errors were measured to grow, and an interval's gains
are those with which it ends nearest to the full runs' z_s with all that came before. Refinement's
closed-loop fit does the same on the states that replay really visits.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

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

ROUNDING = 1e-15
"""The most that rounding can make of a term's square, relative to that of its parts aligned."""


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
        The gains, and the rms of what a sample misses of z_T in the end, its geometric mean over
        the samples, which no outlier decides: with gains of all samples, and with gains that were
        fitted on other prompts.
    """
    folds = np.array(prompt_folds(measured.prompt_index))
    every = np.ones(folds.shape[1], dtype=bool)
    columns = measured.displacements.stop
    own = _Carried(every, columns)
    others = [_Carried(every if len(folds) == 1 else ~fold, columns) for fold in folds]
    for interval in _intervals(measured, knots, growth, terms):
        for each in (own, *others):
            each.advance(interval)

    def squares(missed: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.einsum("i,sij,j->s", missed, measured.grams, missed, optimize=True)

    def rms(found: NDArray[np.float64]) -> float:
        with np.errstate(divide="ignore"):  # 0 where a sample misses nothing
            logarithms = np.log(np.maximum(found, 0.0) / measured.numel)
        return float(np.exp(logarithms.mean() / 2))

    apart = np.empty(len(every))
    for fold, each in zip(folds, others, strict=True):
        apart[fold] = squares(each.missed)[fold]
    return FittedGains(tuple(own.gains), SHRINKAGE, rms(squares(own.missed)), rms(apart))


class _Interval(NamedTuple):
    """What an interval moves by, p terms and the truth, as weights of a trajectory's columns.

    Attributes:
        parts: The terms, and last what the full runs moved by, float64 [p + 1, columns]; 0 where
            velocities differ so little that a term is rounding noise, which fits anything.
        pushed: Each sample's Gram matrix times these, float64 [S, columns, p + 1].
        growth: What an error grows by from where it starts to where it ends.
    """

    parts: NDArray[np.float64]
    pushed: NDArray[np.float64]
    growth: float


def _intervals(
    measured: Measurements, knots: Sequence[int], growth: NDArray[np.float64], terms: Terms
) -> Iterator[_Interval]:
    sigmas, columns = measured.sigmas, measured.displacements
    ends, displaced = (*knots[1:], len(sigmas) - 1), is_displaced(columns)
    sizes = np.sqrt(np.diagonal(measured.grams, axis1=1, axis2=2))
    for n, (start, end) in enumerate(zip(knots, ends, strict=True)):
        alone = end - start == 1 and not displaced
        count = 1 if alone else min(ORDER, terms.most, n + 1)
        forms = terms.forms(sigmas, knots[: n + 1], end, count, displaced)
        moved = np.zeros((1, columns.stop))
        moved[0, columns.start + start : columns.start + end] = np.diff(sigmas)[start:end]
        parts = np.vstack([(sigmas[end] - sigmas[start]) * dense(forms, columns.stop), moved])
        used = np.flatnonzero(parts.any(axis=0))
        pushed = measured.grams[:, :, used] @ parts[:, used].T
        aligned = np.square(sizes @ np.abs(parts).T).sum(axis=0)
        noise = np.einsum("pc,scp->p", parts, pushed) <= ROUNDING * aligned
        parts[noise], pushed[:, :, noise] = 0.0, 0.0
        yield _Interval(parts, pushed, growth[start] / growth[end])


class _Carried:
    """A fit on some samples, interval by interval.

    Attributes:
        gains: Of the intervals so far.
        missed: What is missed where they end, as weights of the columns.
    """

    def __init__(self, rows: NDArray[np.bool_], columns: int) -> None:
        self.gains: list[tuple[float, ...]] = []
        self.missed = np.zeros(columns)
        self._rows = rows
        self._square: NDArray[np.float64] | float = 0.0

    def advance(self, interval: _Interval) -> None:
        """Fit the next interval's gains."""
        parts, pushed, growth = interval.parts, interval.pushed[self._rows], interval.growth
        products = parts @ pushed
        carried = growth * (self.missed @ pushed)  # with each part
        products[:, :-1, -1] += carried[:, :-1]
        products[:, -1, :-1] += carried[:, :-1]
        products[:, -1, -1] += 2 * carried[:, -1] + growth**2 * self._square
        equations, count = Equations.of(products), len(parts) - 1
        prior = np.array([1.0, 1.0, *[0.0] * count][:count])
        own = np.clip(solve(equations, prior, SHRINKAGE), -MAX_GAIN, MAX_GAIN)
        self.missed = growth * self.missed + parts[-1] - own @ parts[:-1]
        weights = np.array([*-own, 1.0])
        self._square = np.maximum(weights @ products @ weights, 0.0)
        self.gains.append(tuple(own.tolist()))
