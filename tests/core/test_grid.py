import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meancache_plan.core.grid import (
    check_sigmas,
    edges,
    graded_knots,
    parted,
    same,
    spread_knots,
    uniform_knots,
)
from meancache_plan.errors import GridError, InputError


def test_a_grid_is_returned_as_floats_whichever_way_it_runs() -> None:
    assert check_sigmas([1, 0.25, 0]) == (1.0, 0.25, 0.0)
    assert check_sigmas((0.0, 0.5, 1.0)) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("sigmas", "reason"),
    [
        ([], "2 to 1001 noise levels"),
        ([1.0], "2 to 1001 noise levels"),
        ([i / 1001 for i in range(1002)], "not 1002"),
        ([1.0, math.nan, 0.0], r"sigmas\[1\] is nan"),
        ([math.inf, 0.0], r"sigmas\[0\] is inf"),
        ([14.6, 0.0], r"sigmas\[0\] is 14.6"),
        ([1.0, -0.1], r"sigmas\[1\] is -0.1"),
        ([1.0, 0.5, 0.5], r"sigmas\[1\] = 0.5 and sigmas\[2\] = 0.5"),
        ([0.5, 0.5], "not strictly monotone"),
        ([1.0, 0.5, 0.6], "not strictly monotone"),
    ],
)
def test_what_is_no_grid_is_refused_with_the_place(sigmas: list[float], reason: str) -> None:
    with pytest.raises(GridError, match=reason):
        check_sigmas(sigmas)


def test_steps_of_no_length_are_parted_from_the_end_of_a_grid() -> None:
    assert parted([1, 0.5, 0]) == ((1.0, 0.5, 0.0), 0)
    assert parted([0, 0.5, 1, 1, 1]) == ((0.0, 0.5, 1.0), 2)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((1.0, 0.5, 0.0), True),
        ((1.0, 0.5 + 5e-7, 0.0), True),
        ((1.0, 0.5 - 2e-6, 0.0), False),
        ((1.0, 0.5 + 2e-6, 0.0), False),
        ((1.0, 0.5), False),
        ((1.0, 0.5, 0.0, 0.0), False),
    ],
)
def test_grids_are_the_same_if_all_levels_are_but_for_rounding(
    others: tuple[float, ...], expected: bool
) -> None:
    assert same((1.0, 0.5, 0.0), others) is expected


@pytest.mark.parametrize("sigmas", [[0.5, 0.5], [1.0, 1.0, 0.0], [1.0, 0.5, 0.5, 0.0]])
def test_they_stand_nowhere_else(sigmas: list[float]) -> None:
    with pytest.raises(GridError, match="not strictly monotone"):
        parted(sigmas)


@pytest.mark.parametrize("max_edge", [1, 2, 5, 7, 100])
def test_edges_are_all_pairs_in_order(max_edge: int) -> None:
    every = [(t, s) for t in range(8) for s in range(8) if 0 < s - t <= max_edge]
    assert list(edges(7, max_edge)) == sorted(every)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_uniform_knots_split_the_steps_as_evenly_as_whole_numbers_can(steps: int) -> None:
    for budget in range(1, steps + 1):
        knots = uniform_knots(steps, budget)
        lengths = {b - a for a, b in zip(knots, (*knots[1:], steps), strict=True)}
        assert knots[0] == 0
        assert len(knots) == budget
        assert lengths <= {steps // budget, -(-steps // budget)}


@pytest.mark.parametrize("budget", [-1, 0, 11])
def test_uniform_knots_refuse_a_budget_that_the_steps_cannot_hold(budget: int) -> None:
    with pytest.raises(InputError, match="choose 1 to 10"):
        uniform_knots(10, budget)


def lengths(knots: tuple[int, ...], steps: int) -> list[int]:
    return [b - a for a, b in zip(knots, (*knots[1:], steps), strict=True)]


@given(st.data())
def test_graded_knots_start_at_0_and_leave_no_interval_empty(data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, 100))
    budget = data.draw(st.integers(1, steps))
    ratio = 10 ** data.draw(st.floats(-6, 6))
    knots = graded_knots(steps, budget, ratio)
    assert knots[0] == 0
    assert len(knots) == budget
    assert min(lengths(knots, steps)) >= 1


@pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0, 10.0])
def test_graded_intervals_follow_a_geometric_progression_where_there_is_room(ratio: float) -> None:
    found = lengths(graded_knots(1000, 5, ratio), 1000)
    assert found[-1] / found[0] == pytest.approx(ratio, rel=0.05)
    for before, after in pairwise(found):
        assert after / before == pytest.approx(ratio ** (1 / 4), rel=0.05)


@pytest.mark.parametrize("budget", [1, 3, 7, 20])
def test_graded_knots_of_ratio_1_are_as_even_as_uniform_ones(budget: int) -> None:
    found = lengths(graded_knots(20, budget, 1.0), 20)
    assert max(found) - min(found) <= 1


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf, 1e7])
def test_graded_knots_refuse_a_ratio_that_no_steps_can_show(ratio: float) -> None:
    with pytest.raises(InputError, match="choose 1e-6 to 1e6"):
        graded_knots(10, 3, ratio)


@pytest.mark.parametrize("budget", [0, 11])
def test_graded_knots_refuse_a_budget_that_the_steps_cannot_hold(budget: int) -> None:
    with pytest.raises(InputError, match="choose 1 to 10"):
        graded_knots(10, budget, 2.0)


def capped(weights: list[float], budget: int) -> list[float]:
    """The weights, each at most 1, scaled to sum up to the budget: by bisection."""
    low, high = 0.0, budget / min(weights)
    for _ in range(200):
        middle = (low + high) / 2
        total = sum(min(1.0, middle * weight) for weight in weights)
        low, high = (middle, high) if total < budget else (low, middle)
    return [min(1.0, high * weight) for weight in weights]


@given(st.data())
def test_spread_knots_are_before_every_step_as_many_as_the_scaled_weights_sum_up_to(
    data: st.DataObject,
) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=60))
    budget = data.draw(st.integers(1, len(weights)))
    knots = spread_knots(weights, budget)
    assert knots[0] == 0
    assert len(set(knots)) == budget
    passed = 0.0
    for step, weight in enumerate(capped(weights, budget)):
        assert passed - 1e-6 <= sum(knot < step for knot in knots) < passed + 1 + 1e-6
        passed += weight


@pytest.mark.parametrize("budget", [1, 3, 7, 20])
def test_spread_knots_of_equal_weights_are_as_even_as_uniform_ones(budget: int) -> None:
    found = lengths(spread_knots([0.3] * 20, budget), 20)
    assert max(found) - min(found) <= 1


def test_the_nearest_spread_knot_is_moved_to_a_switch() -> None:
    assert spread_knots([1.0] * 10, 4, switches=[6]) == (0, 2, 6, 7)


@pytest.mark.parametrize("budget", [0, 11])
def test_spread_knots_refuse_a_budget_that_the_steps_cannot_hold(budget: int) -> None:
    with pytest.raises(InputError, match="choose 1 to 10"):
        spread_knots([1.0] * 10, budget)
