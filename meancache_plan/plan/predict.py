"""How good a plan will be, predicted from the profile: no denoiser runs.

The prediction is open loop. What each interval misses is known exactly on the calibration's full
trajectories; that replay leaves these, and that an error may turn on its way to the sample, is not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.bootstrap import percentile_interval
from meancache_plan.core.columns import is_displaced, single_columns
from meancache_plan.core.deviation import dense, rms
from meancache_plan.core.psnr import CEILING
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.provenance import GainFit, Quality
from meancache_runtime.binding import bind
from meancache_runtime.schedule import Plan

QUANTILES = (0.1, 0.9)
"""Of the propagation over the samples, for the two ends of the interval."""

MARGIN = 1.0
"""What replay on other trajectories may change either way, in dB. On the reference pipeline figures
lie within the intervals that this widens (``benchmarks/prediction.py``)."""

DIGITS = 2
"""Decimals of a figure in dB."""

ROWS = 4
"""Intervals whose errors are measured together: neighbours, which use few of the velocities."""


class Misses(NamedTuple):
    """What the inexact intervals of a plan miss of z_s: one row an interval.

    Attributes:
        ends: Steps s at which the intervals end, int64 [n].
        weights: e = Σ (σ_{k+1} − σ_k)·(w_k − û_k) as weights of a trajectory's columns, float64
            [n, columns]; w_k is what step k moved with.
    """

    ends: NDArray[np.int64]
    weights: NDArray[np.float64]


def misses(plan: Plan, sigmas: Sequence[float], displacements: range | None = None) -> Misses:
    """Return what a plan's intervals miss on the full runs of this grid.

    Predictors get the velocities that replay has; intervals that are exact, as those of one step
    where steps are Euler's, are left out.

    Args:
        plan: Fits the grid.
        sigmas: The grid.
        displacements: The columns of what the steps moved with; the velocities' own by default.
    """
    steps = len(sigmas) - 1
    columns = displacements or range(steps)
    bound = bind(plan, sigmas, is_displaced(columns))
    forms = dense(bound.forms, columns.stop)
    missed = np.diff(sigmas)[:, None] * (dense(single_columns(columns), columns.stop) - forms)
    weights = np.add.reduceat(missed, plan.knots)
    inexact = np.flatnonzero(weights.any(axis=1))
    return Misses(np.array([*plan.knots[1:], steps])[inexact], weights[inexact])


def predict(profile: Profile, plan: Plan, fit: GainFit | None = None) -> Quality:
    """Predict a plan's mean latent PSNR, as ``meancache_plan.judge`` defines it.

    An interval's error e_i is carried to the end by the measured propagation A(s_i), 1 if that
    was not measured. ``psnr_latent`` takes ‖Σ A(s_i)·e_i‖: the Gram matrix knows how the errors
    lie to each other, and they do partly cancel. ``low`` takes them all aligned, Σ A(s_i)·‖e_i‖,
    and the upper decile of A; ``high`` the lower decile, and errors independent of each other or
    as the Gram matrix has them, whichever is less; both widened by
    the bootstrap over prompts and by ``MARGIN``.

    Args:
        profile: What calibration measured.
        plan: Fits the profile's grid.
        fit: The fit of the plan's gains, which was made on these very samples: errors are
            scaled up by as much as cross-validation found that others are predicted worse.

    Returns:
        Figures in dB, −120 … 120, low ≤ psnr_latent ≤ high; a plan that is exact has 120.
    """
    ends, weights = misses(plan, profile.sigmas, profile.displacements)
    if not len(ends) or profile.keeps_sampler(len(plan.knots)):
        return Quality(psnr_latent=CEILING, low=CEILING, high=CEILING)
    optimism = 1.0
    if fit is not None and fit.fitted > 0:
        optimism = max(1.0, fit.cross_validated / fit.fitted)
    mean, least, most = (growth_by_step(profile, q)[ends] for q in (None, *QUANTILES))
    sizes = _sizes(profile, weights)
    as_measured = _norms(profile, mean @ weights)
    aligned = sizes @ most
    scattered = np.minimum(np.sqrt(sizes**2 @ least**2), _norms(profile, least @ weights))
    central, worst, best = (
        _decibels(optimism * errors, profile.latent_range)
        for errors in (as_measured, aligned, scattered)
    )
    units = profile.prompt_index
    middle = float(central.mean())
    low = percentile_interval(worst, units)[0] - MARGIN
    high = percentile_interval(best, units)[1] + MARGIN
    return Quality(
        psnr_latent=round(middle, DIGITS),
        low=round(max(min(low, middle), -CEILING), DIGITS),
        high=round(min(max(high, middle), CEILING), DIGITS),
    )


def growth_by_step(profile: Profile, quantile: float | None = None) -> NDArray[np.float64]:
    """How much an error made at each step grows by σ_T, float64 [T + 1]; 1 if not measured."""
    if not profile.has_propagation:
        return np.ones(profile.steps + 1)
    return profile.propagation_by_step(quantile)


def _sizes(profile: Profile, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rms of each row of combined columns on each sample, float64 [S, n]."""
    parts = [weights[i : i + ROWS] for i in range(0, len(weights), ROWS)]
    return np.hstack([rms(profile.grams, profile.numel, part) for part in parts])


def _norms(profile: Profile, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rms of one combination of columns on each sample, float64 [S]."""
    return rms(profile.grams, profile.numel, weights[None])[:, 0]


def _decibels(errors: NDArray[np.float64], value_range: float) -> NDArray[np.float64]:
    """PSNR of rms errors, within ±``CEILING``; latents without any range count as of the least."""
    tiny = np.finfo(np.float64).tiny
    ratio = np.log10(max(value_range, tiny)) - np.log10(np.maximum(errors, tiny))
    return np.clip(20 * ratio, -CEILING, CEILING)
