"""The Fréchet distance beside its closed form, its derivative, and what chance makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from meancache_plan.core.frechet import (
    Gaussian,
    frechet_change,
    frechet_distance,
    gaussian,
    influences,
)

Array = NDArray[np.float64]


def cloud(seed: int, count: int = 60, size: int = 5, shift: float = 0.0) -> Array:
    """Features of a Gaussian of its own."""
    rng = np.random.default_rng(seed)
    return shift + rng.standard_normal((count, size)) @ rng.standard_normal((size, size))


def test_it_is_the_closed_form_for_independent_features() -> None:
    one = Gaussian(np.array([1.0, 2.0, 0.0]), np.diag([1.0, 4.0, 9.0]))
    other = Gaussian(np.array([0.0, 2.0, 2.0]), np.diag([16.0, 4.0, 1.0]))
    assert frechet_distance(one, other) == pytest.approx(5 + 9 + 0 + 4)


def test_it_is_the_formula_with_the_root_of_the_product_for_correlated_features() -> None:
    one, other = gaussian(cloud(0)), gaussian(cloud(1, shift=2.0))
    root = np.real(scipy.linalg.sqrtm(one.covariance @ other.covariance))
    off = np.square(one.mean - other.mean).sum()
    expected = off + np.trace(one.covariance + other.covariance - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(expected)
    assert frechet_distance(other, one) == pytest.approx(expected)


def test_a_cloud_is_at_no_distance_from_itself_even_where_it_is_flat() -> None:
    flat = cloud(2, count=4, size=8)  # three directions at most
    assert frechet_distance(gaussian(flat), gaussian(flat)) == pytest.approx(0, abs=1e-9)
    constant = np.ones((4, 3))
    assert frechet_distance(gaussian(constant), gaussian(constant)) == 0


def test_a_single_feature_is_a_cloud_of_one_dimension() -> None:
    values = cloud(3, size=1)
    moved = frechet_distance(gaussian(values), gaussian(2 * values + 1))
    mean, deviation = values.mean(), values.std(ddof=1)
    assert moved == pytest.approx((mean + 1) ** 2 + deviation**2)


def test_an_influence_is_how_the_distance_moves_with_a_features_weight() -> None:
    features, other = cloud(4, count=12), gaussian(cloud(5, shift=1.0))
    step, found = 1e-6, influences(features, other)

    def weighted(index: int, by: float) -> float:
        weights = np.full(len(features), 1 / len(features))
        weights *= 1 - by
        weights[index] += by
        mean = weights @ features
        offsets = features - mean
        rescaled = len(features) / (len(features) - 1)  # an unbiased covariance, as it is taken
        covariance = rescaled * (offsets * weights[:, None]).T @ offsets
        return frechet_distance(Gaussian(mean, covariance), other)

    slopes = [(weighted(i, step) - weighted(i, -step)) / (2 * step) for i in range(12)]
    assert found == pytest.approx(np.array(slopes), rel=1e-4, abs=1e-4)


def test_the_interval_of_a_change_is_as_wide_as_chance_makes_it() -> None:
    rng = np.random.default_rng(6)
    other = Gaussian(np.zeros(3), np.eye(3))

    def draw() -> tuple[Array, Array]:
        before = rng.standard_normal((400, 3))
        return before, 1.1 * before + 0.2 * rng.standard_normal((400, 3))

    def change(before: Array, after: Array) -> float:
        return frechet_distance(gaussian(after), other) - frechet_distance(gaussian(before), other)

    before, after = draw()
    found = frechet_change(before, after, other, range(400))
    assert found.value == change(before, after)
    low, high = found.interval
    deviation = np.std([change(*draw()) for _ in range(200)])
    assert (high - low) / (2 * 1.96) == pytest.approx(deviation, rel=0.25)


def test_the_same_features_change_nothing_without_a_doubt() -> None:
    features = cloud(7)
    found = frechet_change(features, features, gaussian(cloud(8)), [i // 2 for i in range(60)])
    assert found == (0.0, (0.0, 0.0))
