from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from meancache_plan.core.columns import own_velocities
from meancache_plan.core.parallel_edges import Edge, parallel_edges, residuals
from meancache_plan.core.predictors import PREDICTORS, check_predictors
from meancache_plan.errors import InputError
from meancache_runtime.binding import LinearForm, adams, average
from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from tests.fields import euler, mixture, noise, polynomial, shifted_grid, uniform_grid


def apply(form: LinearForm, velocities: Tensor) -> Tensor:
    return sum((w * velocities[i] for i, w in form.items()), torch.zeros_like(velocities[0]))


def error(sigmas: tuple[float, ...], velocities: Tensor, edge: Edge) -> float:
    """|u − û| of an edge, from its residual."""
    row = torch.from_numpy(residuals(sigmas, [edge]))[0]
    return float((row @ velocities).norm())


def order(errors: Sequence[float]) -> float:
    """The slope of error against step size, when the grid is halved each time."""
    return float(np.mean([np.log2(a / b) for a, b in pairwise(errors)]))


GRIDS = {"uniform": uniform_grid, "shifted": shifted_grid}


@lru_cache
def refined(grid: str) -> list[tuple[tuple[float, ...], int, Tensor]]:
    """The mixture's flow on finer and finer grids: sigmas, the step at σ ≈ 0.4, velocities."""
    found = []
    for steps in (512, 1024, 2048):
        sigmas = GRIDS[grid](steps)
        t = next(i for i, sigma in enumerate(sigmas) if sigma <= 0.4)
        found.append((sigmas, t, euler(mixture(), noise(1)[0], sigmas)[1]))
    return found


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(
    ("name", "window", "expected"),
    [("hold", 0, 1), ("jvp", 4, 2), ("jvp", 2, 1), ("adams", 3, 2), ("adams", 4, 2)],
)
def test_over_four_steps_a_predictor_has_its_order_of_accuracy(
    grid: str, name: str, window: int, expected: int
) -> None:
    errors = [
        error(sigmas, velocities, Edge(t, t + 4, name, window))
        for sigmas, t, velocities in refined(grid)
    ]
    assert order(errors) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("grid", GRIDS)
def test_adams_over_three_knots_has_order_three(grid: str) -> None:
    errors = []
    for sigmas, t, velocities in refined(grid):
        u = apply(average(sigmas, t, t + 4, own_velocities(len(velocities))), velocities)
        form = adams(sigmas, (t - 5, t - 2, t), t + 4, (1.0, 1.0, 1.0))
        errors.append(float((u - apply(form, velocities)).norm()))
    assert order(errors) == pytest.approx(3, abs=0.1)


def test_a_velocity_linear_in_sigma_is_predicted_exactly_by_adams_on_any_grid() -> None:
    sigmas = shifted_grid(20)
    velocities = euler(polynomial(torch.randn(2, 8).double()), noise(1, 8)[0], sigmas)[1]
    offered = [(t, s) for t in range(1, 19) for s in range(t + 2, 21)]
    rows = residuals(sigmas, parallel_edges(offered, ["adams"], max_window=6))
    assert np.abs(rows @ velocities.numpy()).max() < 1e-12


def test_a_linear_velocity_is_predicted_exactly_by_jvp_if_and_only_if_its_window_is_the_edge() -> (
    None
):
    sigmas = uniform_grid(20)
    velocities = euler(polynomial(torch.randn(2, 8).double()), noise(1, 8)[0], sigmas)[1]
    for edge in parallel_edges([(10, 12), (10, 14), (10, 16)], ["jvp"], max_window=6):
        exact = error(sigmas, velocities, edge) < 1e-12
        assert exact == (edge.window == edge.end - edge.start)


def test_jvp_over_one_step_is_hold() -> None:
    sigmas = shifted_grid(12)
    jvp, hold = residuals(sigmas, [Edge(5, 9, "jvp", 1), Edge(5, 9, "hold", 0)])
    assert (jvp == hold).all()


def test_a_constant_velocity_is_predicted_exactly_by_every_predictor() -> None:
    sigmas = shifted_grid(15)
    offered = [(t, s) for t in range(15) for s in range(t + 1, 16)]
    rows = residuals(sigmas, parallel_edges(offered, list(PREDICTORS), max_window=6))
    assert np.abs(rows.sum(axis=1)).max() < 1e-12


def test_an_edge_of_one_step_needs_no_prediction() -> None:
    sigmas = shifted_grid(15)
    offered = parallel_edges([(t, t + 1) for t in range(15)], ["jvp", "adams"], max_window=6)
    assert {(c.predictor, c.window) for c in offered} == {("hold", 0)}
    assert (residuals(sigmas, offered) == 0.0).all()


def test_candidates_are_complete_and_in_the_order_of_edges_predictors_and_windows() -> None:
    assert parallel_edges([(0, 2), (1, 3), (3, 5), (3, 4)], ["jvp", "hold", "adams"], 2) == [
        Edge(0, 2, "hold", 0),
        Edge(1, 3, "jvp", 1),
        Edge(1, 3, "hold", 0),
        Edge(1, 3, "adams", 1),
        Edge(3, 5, "jvp", 1),
        Edge(3, 5, "jvp", 2),
        Edge(3, 5, "hold", 0),
        Edge(3, 5, "adams", 1),
        Edge(3, 5, "adams", 2),
        Edge(3, 4, "hold", 0),
    ]


def test_predictors_know_what_replay_calls_them() -> None:
    assert PREDICTORS["hold"].replay(0) == Hold()
    assert PREDICTORS["jvp"].replay(3) == Jvp(3)
    assert PREDICTORS["released"].replay(3) == Released(3)
    assert PREDICTORS["adams"].replay(3) == Adams((1.0, 1.0))


def test_released_is_planned_as_jvp_is() -> None:
    sigmas = shifted_grid(12)
    offered = [(t, s) for t in range(12) for s in range(t + 1, 13)]
    jvp, released = (parallel_edges(offered, [name], max_window=6) for name in ("jvp", "released"))
    assert [(c.start, c.end, c.window) for c in jvp] == [
        (c.start, c.end, c.window) for c in released
    ]
    assert (residuals(sigmas, jvp) == residuals(sigmas, released)).all()


def test_predictors_that_are_known_are_returned_in_the_order_given() -> None:
    assert check_predictors(["jvp", "hold"], tuple(PREDICTORS)) == ("jvp", "hold")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["hold", "magic"], "predictor 'magic' is not one of the planner's: hold, jvp, adams"),
        (["hold", "hold"], r"\['hold', 'hold'\]: name at least one of hold, jvp, adams, each once"),
        ([], r"\[\]: name at least one of hold, jvp, adams"),
    ],
)
def test_predictors_that_are_unknown_repeated_or_none_are_refused_with_the_choice(
    names: list[str], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        check_predictors(names, ("hold", "jvp", "adams"))
