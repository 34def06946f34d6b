from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pytest

from meancache_plan.core.moments import Moments
from meancache_plan.core.objective import WEIGHTINGS, Objective
from meancache_plan.core.predictors import PREDICTORS, SHRINKAGE
from meancache_plan.core.search import shortest_paths
from meancache_plan.errors import InputError
from meancache_plan.plan.plan_budgets import plan_budgets
from meancache_runtime.binding import adams
from meancache_runtime.predictors import Adams, Hold, Predictor
from tests.trajectories import (
    Array,
    Trajectories,
    applied,
    arcs_of,
    deviation,
    line_graph,
    mean_velocity,
    mixture_trajectories,
    of,
    plan_cost,
    statistic,
    term,
)

ARC_PREDICTORS = {n: rule.errors for n, rule in PREDICTORS.items() if rule.errors is not None}
STATISTICS = ("mean", "quantile:0.75", "cvar:0.5")
PLAIN: dict[str, Predictor] = {"hold": Hold(), "adams": Adams((1.0, 1.0))}


@pytest.fixture(scope="module")
def seen() -> Trajectories:
    return mixture_trajectories(10)


def rising(seen: Trajectories) -> Trajectories:
    """The same velocities on a grid that goes the other way."""
    return of(seen.velocities, [1 - sigma for sigma in seen.sigmas])


def ridge(seen: Trajectories, r: int, t: int, s: int) -> Array:
    """û [S, N] with α, β fitted over all elements of all samples, pulled towards 1."""
    h = seen.sigmas[s] - seen.sigmas[t]
    plain = [h * term(seen, (r, t), s, j).ravel() for j in range(2)]
    missed = h * mean_velocity(seen, t, s).ravel() - sum(plain)
    pulls = [
        np.sqrt(SHRINKAGE) * np.linalg.norm(part) * unit
        for part, unit in zip(plain, np.eye(2), strict=True)
    ]
    rows = np.vstack([np.stack(plain, axis=1), np.stack(pulls, axis=1)])
    excess = np.linalg.lstsq(rows, np.append(missed, [0.0, 0.0]), rcond=None)[0]
    fitted = sum((1 + g) * part for g, part in zip(excess, plain, strict=True))
    return (fitted / h).reshape(len(seen.velocities), -1)


def predicted(seen: Trajectories, name: str, r: int, t: int, s: int) -> Array:
    if name == "hold":
        return seen.velocities[:, t]
    if name == "adams":
        return applied(seen, adams(seen.sigmas, (r, t), s, (1.0, 1.0)))
    return ridge(seen, r, t, s)


@pytest.mark.parametrize("direction", ["falling", "rising"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", ARC_PREDICTORS)
def test_an_arc_costs_what_its_prediction_misses_of_the_velocities(
    seen: Trajectories, name: str, weighting: str, direction: str
) -> None:
    seen = seen if direction == "falling" else rising(seen)
    graph = line_graph(seen, Objective((name,), weighting=weighting))
    for r, t, s in combinations(range(seen.steps + 1), 3):
        costs = deviation(seen, predicted(seen, name, r, t, s), t, s, weighting)
        assert graph.arcs[r, t, s] == pytest.approx(costs.mean(), rel=1e-9, abs=0.0)
    for s in range(1, seen.steps + 1):
        costs = deviation(seen, seen.velocities[:, 0], 0, s, weighting)
        assert graph.first[s] == pytest.approx(costs.mean(), rel=1e-9, abs=0.0)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
def test_an_arc_weighs_the_statistic_of_the_samples_to_the_power_gamma(
    seen: Trajectories, name: str, gamma: float
) -> None:
    objective = Objective(("adams",), statistic=name, gamma=gamma)
    graph = line_graph(seen, objective)
    for r, t, s in combinations(range(seen.steps + 1), 3):
        costs = deviation(seen, predicted(seen, "adams", r, t, s), t, s, "propagated")
        assert graph.arcs[r, t, s] == pytest.approx(
            statistic(name, costs) ** gamma, rel=1e-8, abs=0.0
        )


def test_an_arc_takes_the_best_predictor_and_says_which(seen: Trajectories) -> None:
    names = ("adams", "fitted", "hold")
    arcs = arcs_of(seen, Objective(names))
    alone = {name: line_graph(seen, Objective((name,))).arcs for name in names}
    triples = [(r, t, s) for r, t, s in combinations(range(seen.steps + 1), 3) if s > t + 1]
    for triple in triples:
        name, weight = arcs[triple]
        assert weight == min(float(alone[each][triple]) for each in names)
        assert weight == float(alone[name][triple])
    assert {arcs[triple][0] for triple in triples} == set(names)


@pytest.mark.parametrize("names", [("hold",), ("adams",), ("fitted", "adams")])
def test_arcs_of_one_step_are_free_and_hold(seen: Trajectories, names: tuple[str, ...]) -> None:
    arcs = arcs_of(seen, Objective(names))
    assert arcs[0, 0, 1] == ("hold", 0.0)
    for r, t in combinations(range(seen.steps), 2):
        assert arcs[r, t, t + 1] == ("hold", 0.0)


@pytest.mark.parametrize("names", [("hold",), ("adams",), ("adams", "fitted")])
def test_a_first_interval_is_held_or_fitted_to(seen: Trajectories, names: tuple[str, ...]) -> None:
    arcs = arcs_of(seen, Objective(names))
    expected = "fitted" if "fitted" in names else "hold"
    assert {arcs[0, 0, s][0] for s in range(2, seen.steps + 1)} == {expected}


@pytest.mark.parametrize("max_edge", [1, 3, 10])
def test_there_are_arcs_to_later_steps_within_max_edge_and_no_others(
    seen: Trajectories, max_edge: int
) -> None:
    whole = line_graph(seen, Objective(("hold", "adams")))
    graph = line_graph(seen, Objective(("hold", "adams"), max_edge=max_edge))
    for s in range(seen.steps + 1):
        assert graph.first[s] == (whole.first[s] if 0 < s <= max_edge else np.inf)
    for r, t, s in product(range(10), range(10), range(11)):
        there = r < t < s <= t + max_edge
        assert graph.arcs[r, t, s] == (whole.arcs[r, t, s] if there else np.inf)


def test_fitted_is_never_worse_than_adams_or_hold_on_the_mean_square(
    seen: Trajectories,
) -> None:
    """The ridge is 0 at Adams' gains, and an upper bound on what it costs against hold's 1, 0."""
    for t in range(1, seen.steps):
        found = Moments.at(seen, t, seen.steps - t)
        square = {name: rule(found).mean(axis=0) for name, rule in ARC_PREDICTORS.items()}
        rounding = 1e-12 * square["hold"]
        assert (square["fitted"] <= square["adams"] + rounding).all()
        bound = square["hold"] + SHRINKAGE * found.yy.mean(axis=0)
        assert (square["fitted"] <= bound + rounding).all()


def all_plans(steps: int, budget: int) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Every choice of at most ``budget`` knots and of a predictor for each but the first."""
    return [
        ((0, *later), ("hold", *names))
        for size in range(budget)
        for later in combinations(range(1, steps), size)
        for names in product(PLAIN, repeat=size)
    ]


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_path_is_the_best_of_all_plans_as_replay_is_bound_to_them(
    weighting: str, name: str
) -> None:
    seen, budgets = mixture_trajectories(7, samples=4), range(1, 7)
    objective = Objective(tuple(PLAIN), weighting=weighting, statistic=name, gamma=2.0)
    paths = shortest_paths(line_graph(seen, objective), budgets)

    def cost(knots: Sequence[int], names: Sequence[str]) -> float:
        predictors = [PLAIN[predictor] for predictor in names]
        return plan_cost(seen, knots, predictors, weighting=weighting, name=name)

    costs = {plan: cost(*plan) for plan in all_plans(7, 6)}
    for budget in budgets:
        least = min(cost for (knots, _), cost in costs.items() if len(knots) <= budget)
        assert paths[budget][0].weight == pytest.approx(least, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_a_plan_costs_what_replay_is_bound_to_do_on_its_own_knots(
    weighting: str, name: str, gamma: float
) -> None:
    seen = mixture_trajectories(20)
    objective = Objective(tuple(PLAIN), weighting=weighting, statistic=name, gamma=gamma)
    for budget, outcomes in plan_budgets(seen, objective, "path", range(1, 21), 2).items():
        for outcome in outcomes:
            plan = outcome.plan
            names = [interval.name for interval in plan.intervals]
            predictors = [PLAIN[predictor] for predictor in names]
            cost = plan_cost(
                seen, plan.knots, predictors, weighting=weighting, name=name, gamma=gamma
            )
            assert len(plan.knots) <= budget
            assert outcome.cost == pytest.approx(cost, rel=1e-8, abs=0.0)


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (
            Objective(("hold", "jvp")),
            "predictor 'jvp' depends on more than the previous knot.* or another planner",
        ),
        (
            Objective(("hold",), metric="l1"),
            "metric 'l1' is not known for a given previous knot.*: choose rms, or another",
        ),
        (Objective(("hold",), gamma=1e4), "gamma 10000.0.*choose a smaller gamma"),
    ],
)
def test_what_no_arc_can_have_is_refused_with_what_to_choose(
    seen: Trajectories, objective: Objective, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        line_graph(seen, objective)
