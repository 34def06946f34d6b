"""How sure a mean is: its bootstrap interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from meancache_plan.errors import InputError

_RESAMPLES = 9999


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
