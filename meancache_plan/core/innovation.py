"""How far calibration samples stray from what their plan's history promises, knot by knot.

See :mod:`meancache_runtime.innovation`, which measures the same at run time. On a recorded
trajectory all of it follows from the velocities' Gram matrix.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_runtime.innovation import promised

SURE = 0.99
"""The share of samples whose excess over others the bounds allow for."""

LEAST = 1e-6
"""Bounds are never below this: rounding alone must not reach them."""


class InnovationSpread(NamedTuple):
    """What calibration samples do at each knot after the first, float64 [N − 1] each."""

    median: NDArray[np.float64]
    high: NDArray[np.float64]
    """The 99 % quantile."""
    largest: NDArray[np.float64]


def innovations(
    sigmas: Sequence[float], knots: Sequence[int], grams: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ‖v_n − promised‖/‖v_n‖ at each knot after the first, float64 [S, N − 1].

    Args:
        sigmas: σ₀ … σ_T.
        knots: The plan's N knots.
        grams: Inner products of each sample's velocities, float64 [S, T, T] or more columns.
    """
    columns = np.zeros((len(knots) - 1, grams.shape[-1]))
    for row, (knot, form) in enumerate(zip(knots[1:], promised(sigmas, knots), strict=True)):
        columns[row, knot] = 1.0
        for step, weight in form.items():
            columns[row, step] -= weight
    gaps = np.einsum("np,spq,nq->sn", columns, grams, columns, optimize=True)
    wholes = np.maximum(grams[:, knots[1:], knots[1:]], np.finfo(float).tiny)
    return np.sqrt(np.maximum(gaps, 0.0) / wholes)


def spread(found: NDArray[np.float64]) -> InnovationSpread:
    """Sum :func:`innovations` up over the samples."""
    return InnovationSpread(
        np.median(found, axis=0), np.quantile(found, SURE, axis=0), found.max(axis=0)
    )


def bounds(found: NDArray[np.float64], prompts: NDArray[np.int64]) -> tuple[float, ...] | None:
    """Bounds that new prompts stay within, if they are no more unlike than half of these are.

    They are the largest innovations of all samples, times one factor: the 99 % quantile, over the
    samples, of how far each exceeds those of the prompts' other half, at the knot where it does so
    most. To leave out one prompt at a time tells less: new prompts are seldom as near to known
    ones. None where there is a single prompt, of which nothing can be told.

    Args:
        found: What :func:`innovations` returns, [S, N − 1].
        prompts: Which prompt each sample is of, int64 [S].
    """
    names, places = np.unique(prompts, return_inverse=True)
    if len(names) < 2 or not found.size:
        return None
    beyond = np.empty(len(found))
    for half in (places % 2 == 0, places % 2 == 1):
        others = np.maximum(found[~half].max(axis=0), LEAST)
        beyond[half] = (found[half] / others).max(axis=1)
    factor = max(1.0, float(np.quantile(beyond, SURE, method="higher")))
    return tuple((np.maximum(found.max(axis=0), LEAST) * factor).tolist())
