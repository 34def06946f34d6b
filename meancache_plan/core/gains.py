"""Gains of a predictor's terms, fitted by regularised least squares from the Gram matrices.

``û = Σ g_j·term_j``, of Adams–Bashforth ``Σ g_j·m_j·[n₀ … n_j]``: each term of the rule (all g = 1)
scaled, one set of gains an interval for all samples, shrunk towards 1. How much is decided by
cross-validation over prompts: samples of one prompt are too alike to judge each other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.columns import is_displaced
from meancache_plan.core.deviation import dense
from meancache_plan.core.objective import WEIGHTINGS, Measurements
from meancache_plan.core.predictors import ADAMS, Terms

SHRINKAGES = (1e-3, 1e-2, 1e-1, 1.0, 1e6)
"""Ridges that cross-validation chooses between, relative to a term's own size; the last one is
the plain rule."""

FOLDS = 5


class FittedGains(NamedTuple):
    """Fitted gains of a plan's intervals, and how well they do.

    Attributes:
        gains: For each interval, one gain per term.
        shrinkage: The ridge that cross-validation chose.
        fitted: √(mean over samples of Σ over intervals of the squared, weighted deviation), with
            the gains fitted on all samples.
        cross_validated: The same, each prompt judged by gains fitted on other prompts.
    """

    gains: tuple[tuple[float, ...], ...]
    shrinkage: float
    fitted: float
    cross_validated: float


class _Equations(NamedTuple):
    """Normal equations of n intervals on S samples, targets less the plain rule's.

    ``target`` ⟨e, e⟩ [n, S], ``right`` ⟨e, f_j⟩ [n, S, p], ``left`` ⟨f_i, f_j⟩ [n, S, p, p]; f_j
    are an interval's terms, 0 beyond its order, e is what all gains 1 miss.
    """

    target: NDArray[np.float64]
    right: NDArray[np.float64]
    left: NDArray[np.float64]

    def solve(self, rows: NDArray[np.bool_], shrinkage: float) -> NDArray[np.float64]:
        """Gains less 1, fitted on the samples of each mask in ``rows`` [m, S]: [n, m, p]."""
        share = rows / rows.sum(axis=1, keepdims=True)
        left = np.einsum("ms,nspq->nmpq", share, self.left, optimize=True)
        right = np.einsum("ms,nsp->nmp", share, self.right, optimize=True)
        scale = np.maximum(np.diagonal(left, axis1=2, axis2=3), 1e-150)  # a term may vanish
        ridge = (shrinkage + 1e-12) * scale[..., None] * np.eye(scale.shape[-1])
        return np.linalg.solve(left + ridge, right[..., None])[..., 0]

    def errors(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared deviation on each sample with its gains less 1 [n, S, p]: float64 [n, S]."""
        pull = 2 * self.right - np.einsum("nspq,nsq->nsp", self.left, excess)
        return self.target - np.einsum("nsp,nsp->ns", pull, excess)


def fit_gains(
    measured: Measurements,
    knots: Sequence[int],
    orders: Sequence[int],
    weighting: str,
    free: Sequence[bool] | None = None,
    terms: Sequence[Terms] | None = None,
) -> FittedGains:
    """Fit the gains of every interval, open loop: on the velocities of full runs.

    Args:
        measured: A profile.
        knots: The plan's.
        orders: For each interval its number of terms p, at most the knots up to it; where steps
            are Euler's, intervals of one step are exact with gains 1 and get these.
        weighting: Name in :data:`meancache_plan.core.objective.WEIGHTINGS`, for the two figures.
        free: For each interval whether its gains may differ from 1; by default all.
        terms: For each interval what they scale; by default Adams–Bashforth's.
    """
    system = _equations(measured, knots, orders, terms or [ADAMS] * len(orders))
    factors = _factors(measured, knots, weighting) ** 2
    fitted = np.array(free if free is not None else [True] * len(orders))[:, None, None]
    folds = np.array(prompt_folds(measured.prompt_index))
    every = np.ones((1, folds.shape[1]), dtype=bool)
    others = every if len(folds) == 1 else ~folds

    def figure(excess: NDArray[np.float64]) -> float:
        """Weighted deviation with each sample's gains less 1, [n, S, p]."""
        total = factors @ system.errors(excess)
        return float(np.sqrt(np.maximum(total, 0.0).mean() / measured.numel))

    def judged_by_others(shrinkage: float) -> float:
        return figure(fitted * system.solve(others, shrinkage)[:, folds.argmax(axis=0)])

    shrinkage = min(SHRINKAGES, key=judged_by_others)
    excess = fitted * system.solve(every, shrinkage)
    gains = tuple(
        tuple((1 + row[:order]).tolist()) for row, order in zip(excess[:, 0], orders, strict=True)
    )
    alone = figure(np.repeat(excess, folds.shape[1], axis=1))
    return FittedGains(gains, shrinkage, alone, judged_by_others(shrinkage))


def prompt_folds(prompt_index: NDArray[np.int64], folds: int = FOLDS) -> list[NDArray[np.bool_]]:
    """Split samples by prompt into at most ``folds`` parts, each a mask [S]; no prompt in two.

    With a single prompt there is nothing to hold out: one part, of all samples.
    """
    prompts = np.unique(prompt_index)
    count = min(folds, len(prompts))
    fold_of = {prompt: place % count for place, prompt in enumerate(prompts.tolist())}
    fold = np.array([fold_of[prompt] for prompt in prompt_index.tolist()])
    return [fold == part for part in range(count)]


def _factors(measured: Measurements, knots: Sequence[int], weighting: str) -> NDArray[np.float64]:
    """What makes a miss, in latent units, the weighted deviation of its interval, float64 [n]."""
    starts, ends = list(knots), [*knots[1:], len(measured.sigmas) - 1]
    sigmas = np.array(measured.sigmas)
    return WEIGHTINGS[weighting](measured)[starts, ends] / np.abs(sigmas[ends] - sigmas[starts])


def _equations(
    measured: Measurements, knots: Sequence[int], orders: Sequence[int], terms: Sequence[Terms]
) -> _Equations:
    samples, width = len(measured.grams), 1 + max(orders)
    products = np.zeros((len(orders), samples, width, width))
    for n, order in enumerate(orders):
        end = (*knots[1:], len(measured.sigmas) - 1)[n]
        rows, near = _rows(measured, knots[: n + 1], end, order, terms[n])
        found = rows @ measured.grams[:, near, near] @ rows.T
        products[n, :, : order + 1, : order + 1] = found
    return _Equations(products[..., 0, 0], products[..., 1:, 0], products[..., 1:, 1:])


def _rows(
    measured: Measurements, knots: Sequence[int], end: int, order: int, terms: Terms
) -> tuple[NDArray[np.float64], slice]:
    """What all gains 1 miss of z_end, then their terms, [1 + p, …] over the columns they are of."""
    sigmas, start, first = measured.sigmas, knots[-1], knots[-order]
    moved = slice(measured.displacements[start], measured.displacements[end - 1] + 1)
    forms = terms.forms(sigmas, knots, end, order, is_displaced(measured.displacements))
    parts = (sigmas[end] - sigmas[start]) * dense(forms, moved.stop)
    missed = -parts.sum(axis=0)
    missed[moved] += np.diff(sigmas)[start:end]
    return np.vstack([missed, parts])[:, first:], slice(first, moved.stop)
