"""How far apart two clouds of features are: the Fréchet distance of their Gaussians.

As FID has it, squared: ‖μ − μ′‖² + tr(Σ + Σ′ − 2·(Σ·Σ′)^½). With n features a cloud it is too large
by a bias of about 1/n: clouds of one distribution are not at 0, and distances of different n cannot
be compared. From the *change* from one cloud to another of as many features, of the same prompts
and noise, most of it goes, as far as they are alike: a narrower cloud has less bias, and looks a
little nearer than it is. (So blurred pictures may.) A change is read beside PSNR and FLIP.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.bootstrap import bootstrap_interval

Array = NDArray[np.float64]


class Gaussian(NamedTuple):
    """Mean [D] and covariance [D, D] of a cloud, float64."""

    mean: Array
    covariance: Array


class Change(NamedTuple):
    """By how much farther one cloud is than another, and the 95 % interval of it."""

    value: float
    interval: tuple[float, float]


def gaussian(features: NDArray[np.floating]) -> Gaussian:
    """The Gaussian of features [n, D], n ≥ 2; float64 [D, D] is what it takes in memory."""
    wide = features.astype(np.float64)
    return Gaussian(wide.mean(axis=0), np.atleast_2d(np.cov(wide, rowvar=False)))


def frechet_distance(some: Gaussian, other: Gaussian) -> float:
    """The distance, ≥ 0. Covariances may be singular: only symmetric matrices are decomposed.

    Example:
        >>> narrow = Gaussian(np.zeros(2), np.eye(2))
        >>> frechet_distance(narrow, Gaussian(np.array([3.0, 4.0]), 4 * np.eye(2)))
        27.0
    """
    root = _power(some.covariance, 0.5)
    joint = np.linalg.eigvalsh(root @ other.covariance @ root)
    off = some.mean - other.mean
    both = np.trace(some.covariance) + np.trace(other.covariance)
    return max(0.0, float(off @ off + both - 2 * np.sqrt(joint.clip(0)).sum()))


def influences(features: NDArray[np.floating], other: Gaussian) -> Array:
    """By how much each of the features [n, D] moves their cloud's distance to another: [n], mean 0.

    It is the derivative of the distance by the feature's weight, times n. With
    A = Σ′^½ (Σ′^½ Σ Σ′^½)^−½ Σ′^½, which maps the cloud onto the other, and x its offset from the
    mean: 2·(μ − μ′)·x + n/(n − 1)·xᵀ(1 − A)x, less the mean of that.
    """
    own = gaussian(features)
    root = _power(other.covariance, 0.5)
    onto = root @ _power(root @ own.covariance @ root, -0.5) @ root
    offsets = features.astype(np.float64) - own.mean
    bent = offsets - offsets @ onto
    spread = np.einsum("nd,nd->n", offsets, bent) * len(features) / (len(features) - 1)
    found = 2 * offsets @ (own.mean - other.mean) + spread
    return found - found.mean()


def frechet_change(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    other: Gaussian,
    groups: Sequence[int],
) -> Change:
    """By how much farther from another cloud features are ``after`` than ``before``, both [n, D].

    The interval is the bootstrap's over groups, pair by pair, of the change in first order: clouds
    that are drawn again with repetitions are smaller than they look, which would bias it. The
    other cloud is taken as given.

    Args:
        before: A feature a sample.
        after: Of the same samples, in the same order.
        other: The cloud that distances are to.
        groups: What samples are of, such as their prompts; those of one group are alike.
    """
    value = frechet_distance(gaussian(after), other) - frechet_distance(gaussian(before), other)
    moved = influences(after, other) - influences(before, other)
    return Change(value, bootstrap_interval((value + moved).tolist(), groups))


def _power(matrix: Array, exponent: float) -> Array:
    """A power of a symmetric matrix without negative eigenvalues; those that are 0 stay 0."""
    values, vectors = np.linalg.eigh(matrix)
    least = max(float(values[-1]), 0.0) * len(values) * np.finfo(np.float64).eps
    known = values > least
    powers = np.zeros_like(values)
    powers[known] = values[known] ** exponent
    return (vectors * powers) @ vectors.T
