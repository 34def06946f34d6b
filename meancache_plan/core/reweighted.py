"""Gains by reweighted least squares: one set for all samples, each weighed by its own error.

PSNR is a logarithm, so a sample's squared error counts by its inverse (iteratively reweighted least
squares): else the few worst samples decide the gains of all.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

ROUNDS = 3
"""Times that samples are weighed anew by the errors that they are left with."""

MAX_WEIGHT = 10.0
"""The most that a sample may count, relative to the median one."""

MAX_GAIN = 1000.0
"""The largest gain of a plan: a term that would need more is rounding noise."""

Array = NDArray[np.float64]


class Equations(NamedTuple):
    """Of n samples, what p parts are together with what is missing, m: m ≈ Σ gain·part.

    Attributes:
        left: ⟨part_i, part_j⟩, float64 [n, p, p].
        right: ⟨part_j, m⟩ [n, p].
        square: ⟨m, m⟩ [n].
    """

    left: Array
    right: Array
    square: Array

    @classmethod
    def of(cls, products: Array) -> Self:
        """From inner products [n, p + 1, p + 1], m last; without samples that are not finite."""
        products = products[np.isfinite(products).all(axis=(1, 2))]
        return cls(products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1])

    def errors(self, gains: Array) -> Array:
        """‖m − Σ gain·part‖² of each sample, [n]; never quite 0, so that it has an inverse."""
        found = self.square - 2 * self.right @ gains + self.left @ gains @ gains
        return np.maximum(found, 1e-12 * self.square + np.finfo(float).tiny)

    def only(self, rows: NDArray[np.bool_]) -> "Equations":
        """Those of some samples, a mask [n]."""
        return Equations(self.left[rows], self.right[rows], self.square[rows])


def solve(equations: Equations, prior: Array, shrinkage: float) -> Array:
    """Gains [p] that minimise Σ ‖m − Σ gain·part‖² / (what it comes to), shrunk towards ``prior``.

    Args:
        equations: Of n samples; without any, the prior's gains stay.
        prior: [p].
        shrinkage: Ridge, relative to each part's own size, > 0.
    """
    weights, gains = np.ones(len(equations.square)), prior
    if not len(weights):
        return prior
    for _ in range(ROUNDS + 1):
        left = np.einsum("s,spq->pq", weights, equations.left)
        right = weights @ equations.right
        ridge = np.diag(shrinkage * np.diagonal(left) + np.finfo(float).tiny ** 0.5)
        gains = np.linalg.solve(left + ridge, right + ridge @ prior)
        errors = equations.errors(gains)
        weights = np.minimum(np.median(errors) / errors, MAX_WEIGHT)
    return gains
