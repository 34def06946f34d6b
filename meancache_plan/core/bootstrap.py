"""How sure a mean is: its bootstrap interval."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from meancache_plan.errors import InputError

_RESAMPLES = 9999

_SHARED_RESAMPLES = 1000

_LEVELS = (0.025, 0.975)
"""95 % of the resampled means lie between them."""


def bootstrap_interval(
    values: Sequence[float], groups: Sequence[int] | None = None
) -> tuple[float, float]:
    """95 % interval of the mean by the bias-corrected and accelerated bootstrap, seed fixed.

    Args:
        values: Figures, at least one.
        groups: The group of each, such as its prompt. Figures of one group are alike, so the
            groups' means are resampled; without groups, or with a single one, the figures are.

    Returns:
        (low, high); both are the mean where there is nothing to resample: one value, or equal ones.

    Raises:
        InputError: No value is given.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise InputError("no values: an interval needs at least one sample")
    known = np.unique([] if groups is None else groups)
    if len(known) > 1:
        data = np.array([data[np.asarray(groups) == group].mean() for group in known])
    mean = float(data.mean())
    if np.ptp(data) <= 1e-12 * max(abs(mean), 1.0):
        return mean, mean
    found: Any = stats.bootstrap(
        (data,), np.mean, n_resamples=_RESAMPLES, rng=np.random.default_rng(0)
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def percentile_interval(
    values: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[float, float]:
    """95 % interval of the mean by the percentile bootstrap, for thousands of means at once.

    All share one set of draws: it is as good as free, but not corrected for bias, as
    :func:`bootstrap_interval` is by drawing anew each time.

    Args:
        values: Figures, at least one.
        groups: The group of each; groups are resampled, if there are several.
    """
    _, place = np.unique(groups, return_inverse=True)
    if place.max() == 0:
        place = np.arange(len(values))
    means = np.bincount(place, values) / np.bincount(place)
    low, high = np.quantile(_draws(len(means)) @ means, _LEVELS)
    return float(low), float(high)


@lru_cache(maxsize=4)
def _draws(count: int) -> NDArray[np.float64]:
    """The share of each of ``count`` units in each draw, float64 [draws, count]; seed fixed."""
    rng = np.random.default_rng(0)
    return rng.multinomial(count, np.full(count, 1 / count), size=_SHARED_RESAMPLES) / count
