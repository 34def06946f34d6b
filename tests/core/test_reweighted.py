"""Reweighted least squares: which samples decide."""

import numpy as np
import pytest

from meancache_plan.core.reweighted import Equations, solve


def of(parts: np.ndarray, missing: np.ndarray) -> Equations:
    """Of samples' parts [S, p, N] and what they miss [S, N]."""
    rows = np.concatenate([parts, missing[:, None]], axis=1)
    return Equations.of(rows @ rows.transpose(0, 2, 1))


def test_a_far_outlier_hardly_moves_what_the_others_agree_on() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(9, 2, 50))
    missing = np.einsum("p,spn->sn", [0.5, -0.3], parts) + 0.01 * rng.normal(size=(9, 50))
    missing[0] += 100 * parts[0, 0]
    found = solve(of(parts, missing), np.zeros(2), 1e-9)
    plain = np.linalg.lstsq(
        parts.transpose(0, 2, 1).reshape(-1, 2), missing.reshape(-1), rcond=None
    )[0]
    assert found == pytest.approx([0.5, -0.3], abs=0.02)
    assert np.abs(plain - [0.5, -0.3]).max() > 5


def test_errors_are_those_of_the_residuals() -> None:
    rng = np.random.default_rng(1)
    parts, missing, gains = rng.normal(size=(3, 2, 9)), rng.normal(size=(3, 9)), [0.7, -2.0]
    wanted = np.square(missing - np.einsum("p,spn->sn", gains, parts)).sum(axis=1)
    assert of(parts, missing).errors(np.array(gains)) == pytest.approx(wanted)


def test_without_samples_the_prior_stays() -> None:
    empty = Equations.of(np.full((1, 3, 3), np.nan))
    assert solve(empty, np.array([1.0, 0.2]), 0.1).tolist() == [1.0, 0.2]
