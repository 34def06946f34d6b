"""Gains of the Adams terms, fitted by regularised least squares from the Gram matrices.

``û = Σ g_j·m_j·[n₀ … n_j]``: each term of grid Adams–Bashforth (all g = 1) scaled, one set of
gains an interval for all samples, shrunk towards 1. How much is decided by cross-validation over
prompts: samples of one prompt are too alike to judge each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.deviation import dense
from meancache_plan.objective import WEIGHTINGS, Measurements
from meancache_runtime.binding import LinearForm, adams

SHRINKAGES = (1e-3, 1e-2, 1e-1, 1.0, 1e6)
"""Ridges that cross-validation chooses between, relative to a term's own size; the last one is
plain Adams–Bashforth."""

FOLDS = 5


class Calibrated(NamedTuple):
    """Fitted gains of a plan's intervals, and how well they do.

    Attributes:
        gains: For each interval, one gain a term.
        shrinkage: The ridge that cross-validation chose.
        fitted: √(mean over samples of Σ over intervals of the squared, weighted deviation), with
            the gains fitted on all samples.
        cross_validated: The same, each prompt judged by gains fitted on other prompts.
    """

    gains: tuple[tuple[float, ...], ...]
    shrinkage: float
    fitted: float
    cross_validated: float


@dataclass(frozen=True, slots=True)
class _Equations:
    """Normal equations of one interval on S samples, targets less plain Adams–Bashforth.

    ``target`` ⟨e, e⟩ [S], ``right`` ⟨e, f_j⟩ [S, p], ``left`` ⟨f_i, f_j⟩ [S, p, p]; f_j are the
    terms, e is what all gains 1 miss.
    """

    target: NDArray[np.float64]
    right: NDArray[np.float64]
    left: NDArray[np.float64]

    def solve(self, rows: NDArray[np.bool_], shrinkage: float) -> NDArray[np.float64]:
        """Gains less 1, fitted on the samples ``rows``, float64 [p]."""
        left, right = self.left[rows].mean(axis=0), self.right[rows].mean(axis=0)
        scale = np.maximum(np.diagonal(left), 1e-150)  # a term of one step vanishes
        return np.linalg.solve(left + np.diag((shrinkage + 1e-12) * scale), right)

    def errors(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared deviation of each sample with these gains less 1, float64 [S]."""
        return self.target - 2 * self.right @ excess + self.left @ excess @ excess


def calibrate_gains(
    measured: Measurements, knots: Sequence[int], orders: Sequence[int], weighting: str
) -> Calibrated:
    """Fit the gains of every interval, open loop: on the velocities of full trajectories.

    Args:
        measured: A profile.
        knots: The plan's.
        orders: For each interval its number of terms p, at most the knots up to it; intervals of
            one step are exact with gains 1, 0, … and get these.
        weighting: Name in :data:`meancache_plan.objective.WEIGHTINGS`, for the two figures.
    """
    systems = [_equations(measured, knots, n, order) for n, order in enumerate(orders)]
    ends = (*knots[1:], len(measured.sigmas) - 1)
    spans = np.abs(
        [measured.sigmas[s] - measured.sigmas[t] for t, s in zip(knots, ends, strict=True)]
    )
    factors = (WEIGHTINGS[weighting](measured)[list(knots), list(ends)] / spans) ** 2
    every = np.ones(len(measured.grams), dtype=bool)
    folds = prompt_folds(measured.prompt_index)

    def figure(shrinkage: float, parts: Sequence[NDArray[np.bool_]]) -> float:
        """Weighted deviation where each part is judged by the others (or by itself, if alone)."""
        total = np.zeros(len(every))
        for part in parts:
            others = every if part.all() else ~part
            for factor, system in zip(factors, systems, strict=True):
                total[part] += factor * system.errors(system.solve(others, shrinkage))[part]
        return float(np.sqrt(np.maximum(total, 0.0).mean() / measured.numel))

    shrinkage = min(SHRINKAGES, key=lambda value: figure(value, folds))
    gains = tuple(tuple((1 + system.solve(every, shrinkage)).tolist()) for system in systems)
    return Calibrated(gains, shrinkage, figure(shrinkage, [every]), figure(shrinkage, folds))


def prompt_folds(prompt_index: NDArray[np.int64], folds: int = FOLDS) -> list[NDArray[np.bool_]]:
    """Split samples by prompt into at most ``folds`` parts, each a mask [S]; no prompt in two.

    With a single prompt there is nothing to hold out: one part, of all samples.
    """
    prompts = np.unique(prompt_index)
    count = min(folds, len(prompts))
    fold_of = {prompt: place % count for place, prompt in enumerate(prompts.tolist())}
    fold = np.array([fold_of[prompt] for prompt in prompt_index.tolist()])
    return [fold == part for part in range(count)]


def terms(sigmas: Sequence[float], knots: Sequence[int], end: int, order: int) -> list[LinearForm]:
    """The Adams terms of ``knots[-1]→end``, each as a linear form: û = Σ g_j·terms[j]."""
    return [
        adams(sigmas, knots, end, tuple(float(i == j) for i in range(j + 1))) for j in range(order)
    ]


def _equations(measured: Measurements, knots: Sequence[int], n: int, order: int) -> _Equations:
    sigmas, steps = measured.sigmas, len(measured.sigmas) - 1
    start, end = knots[n], (*knots[1:], steps)[n]
    h = sigmas[end] - sigmas[start]
    parts = h * dense(terms(sigmas, knots[: n + 1], end, order), steps)
    missed = -parts.sum(axis=0)
    missed[start:end] += np.diff(sigmas)[start:end]
    return _Equations(
        target=np.einsum("i,sij,j->s", missed, measured.grams, missed),
        right=np.einsum("i,sij,pj->sp", missed, measured.grams, parts),
        left=np.einsum("pi,sij,qj->spq", parts, measured.grams, parts),
    )
