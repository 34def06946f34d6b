import math

import pytest

from meancache_plan.errors import GridError, InputError
from meancache_plan.grid import check_sigmas, edges, uniform_knots


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
