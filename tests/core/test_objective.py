import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meancache_plan.core.objective import MAX_GAMMA, WEIGHTINGS, Objective, Statistic
from meancache_plan.errors import InputError
from tests import trajectories
from tests.trajectories import mixture_trajectories

COSTS = arrays(
    np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(0, 1e6, width=32)
)


@settings(max_examples=200, derandomize=True)
@given(COSTS)
def test_the_mean_is_over_the_samples(costs: np.ndarray) -> None:
    for column, found in zip(costs.T, Statistic.parse("mean")(costs), strict=True):
        assert found == pytest.approx(math.fsum(column) / len(column), rel=1e-12)


@settings(max_examples=200, derandomize=True)
@given(COSTS, st.floats(0, 0.99))
def test_a_quantile_has_its_share_of_the_samples_below_it(costs: np.ndarray, level: float) -> None:
    for column, found in zip(costs.T, Statistic.parse(f"quantile:{level}")(costs), strict=True):
        assert found == pytest.approx(trajectories.statistic(f"quantile:{level}", column))
        place = level * (len(column) - 1)
        assert np.sum(column <= found * (1 + 1e-9)) >= math.floor(place) + 1
        assert np.sum(column >= found * (1 - 1e-9)) >= len(column) - math.ceil(place)


@settings(max_examples=200, derandomize=True)
@given(COSTS, st.floats(0, 0.99))
def test_cvar_is_the_mean_of_the_worst_part(costs: np.ndarray, level: float) -> None:
    found = Statistic.parse(f"cvar:{level}")(costs)
    count = max(1, round((1 - level) * len(costs)))
    assert abs(count - (1 - level) * len(costs)) <= max(0.5, 1 - (1 - level) * len(costs))
    assert found == pytest.approx(np.sort(costs, axis=0)[::-1][:count].mean(axis=0))
    assert (found >= costs.mean(axis=0) * (1 - 1e-12)).all()
    assert (found <= costs.max(axis=0) * (1 + 1e-12)).all()


@pytest.mark.parametrize(
    ("text", "of_ten"),
    [
        ("mean", 5.5),
        ("quantile:0", 1.0),
        ("quantile:0.5", 5.5),
        ("quantile", 9.1),
        ("cvar:0", 5.5),
        ("cvar:0.8", 9.5),
        ("cvar:0.9", 10.0),
        ("cvar:0.99", 10.0),
        ("cvar", 10.0),
    ],
)
def test_statistics_of_one_to_ten(text: str, of_ten: float) -> None:
    shuffled = np.array([3.0, 9, 1, 10, 4, 6, 2, 8, 7, 5])
    assert Statistic.parse(text)(shuffled) == pytest.approx(of_ten, rel=1e-12)
    assert Objective(("hold",), statistic=text).reduce(shuffled[:, None, None]).shape == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "median",
        "mean:0.5",
        "Mean",
        "quantile:",
        "quantile:1",
        "quantile:-0.1",
        "quantile:nan",
        "cvar:inf",
        "cvar:worst",
        "cvar:0.5:0.5",
        ":0.5",
    ],
)
def test_a_statistic_that_is_none_is_refused_with_the_choice(text: str) -> None:
    reason = f"unknown statistic '{text}': choose mean, quantile:0.9 or cvar:0.9"
    with pytest.raises(InputError, match=reason):
        Statistic.parse(text)
    with pytest.raises(InputError, match=reason):
        Objective(("hold",), statistic=text)


@pytest.mark.parametrize("rising", [False, True])
def test_weightings_are_one_the_distance_in_sigma_and_that_times_the_growth(rising: bool) -> None:
    seen = mixture_trajectories(9)
    if rising:
        seen = replace(seen, sigmas=tuple(1 - sigma for sigma in seen.sigmas))
    factors = {name: weighting(seen) for name, weighting in WEIGHTINGS.items()}
    for t in range(9):
        for s in range(t + 1, 10):
            h = abs(seen.sigmas[s] - seen.sigmas[t])
            assert factors["none"][t, s] == 1.0
            assert factors["width"][t, s] == h
            assert factors["propagated"][t, s] == pytest.approx(h * seen.growth[s], rel=1e-15)
    assert {factor.shape for factor in factors.values()} == {(9, 10)}


def test_the_power_of_a_cost_is_its_weight_and_nothing_stays_nothing() -> None:
    costs = np.array([[0.0, 1e-3], [1.0, 7.0]])
    weights = Objective(("hold",), gamma=3.0).power(costs)
    assert weights == pytest.approx(np.array([[0.0, 1e-9], [1.0, 343.0]]), rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("costs", "gamma"),
    [
        ([0.0, 1e-3, 0.5], 101.0),
        ([0.0, 1e3, 2.0], 97.0),
        ([1e-160, 1.0], 2.0),
        ([0.5], MAX_GAMMA),
        ([1.5], MAX_GAMMA),
    ],
)
def test_a_gamma_under_which_costs_leave_the_floats_is_refused(
    costs: list[float], gamma: float
) -> None:
    low, high = min(c for c in costs if c), max(costs)
    numbers = re.escape(f"from {low:.3g} to {high:.3g}")
    reason = f"gamma {gamma}: .* costs {numbers}; choose a smaller gamma"
    with pytest.raises(InputError, match=reason):
        Objective(("hold",), gamma=gamma).power(np.array(costs))


def test_a_gamma_just_within_the_floats_is_taken() -> None:
    costs = np.array([0.0, 1e-3, 1e2])
    weights = Objective(("hold",), gamma=99.0).power(costs)
    assert weights == pytest.approx(np.array([0.0, 1e-297, 1e198]), rel=1e-9, abs=0)


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan, math.inf, 1.1e6])
def test_a_gamma_out_of_range_is_refused(gamma: float) -> None:
    with pytest.raises(InputError, match=f"gamma {gamma}: must be positive and at most 1e"):
        Objective(("hold",), gamma=gamma)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"metric": "psnr"}, "unknown metric 'psnr': choose from l1, rms"),
        ({"metric": "width"}, "unknown metric 'width': choose from l1, rms"),
        ({"weighting": "l1"}, "weighting 'l1': choose from none, width, propagated"),
        ({"weighting": ""}, "unknown weighting '': choose from none, width, propagated"),
    ],
)
def test_unknown_choices_are_refused_with_the_known_ones(
    arguments: dict[str, str], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        Objective(("hold",), **arguments)
