"""How sure a mean is: its bootstrap interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from meancache_plan.errors import InputError

_RESAMPLES = 9999


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean by the bias-corrected and accelerated bootstrap, seed fixed.

    Args:
        values: Independent figures, at least one.

    Returns:
        (low, high); both are the mean where there is nothing to resample: one value, or equal ones.

    Raises:
        InputError: There is no value.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise InputError("no values: an interval needs at least one sample")
    mean = float(data.mean())
    if np.ptp(data) <= 1e-12 * max(abs(mean), 1.0):
        return mean, mean
    found: Any = stats.bootstrap(
        (data,), np.mean, n_resamples=_RESAMPLES, rng=np.random.default_rng(0)
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
