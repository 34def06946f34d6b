import math
from collections.abc import Iterator
from itertools import pairwise, product

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meancache_plan.artifact import AdamsInterval, HoldInterval, JvpInterval, to_bytes
from meancache_plan.errors import InputError
from meancache_plan.graph import METRICS, deviation_graph
from meancache_plan.predictors import Candidate
from meancache_plan.profile import Profile
from meancache_plan.solver import PLANNERS, Path, pssp, solve
from tests.fields import euler, mixture_profile, noise, polynomial, profile_of, shifted_grid

Graph = nx.MultiDiGraph


@pytest.fixture(scope="module")
def profile() -> Profile:
    return mixture_profile(20)


def total_weight(graph: Graph, path: Path) -> float:
    """Recompute a path's weight, checking that each of its edges is in the graph."""
    weights = [
        min(
            attributes["weight"]
            for attributes in graph[edge.start][edge.end].values()
            if (attributes["predictor"], attributes["window"]) == (edge.predictor, edge.window)
        )
        for edge in path.edges
    ]
    return math.fsum(weights)


@st.composite
def multigraphs(draw: st.DrawFn) -> Graph:
    """Up to 6 nodes and 3 parallel edges; weights in eighths, so that sums are exact and tie."""
    steps = draw(st.integers(1, 5))
    graph: Graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(steps + 1))
    for t in range(steps):
        for s in range(t + 1, steps + 1):
            for window, eighths in enumerate(draw(st.lists(st.integers(0, 6), max_size=3))):
                graph.add_edge(t, s, predictor="jvp", window=window, weight=eighths / 8)
    return graph


def all_paths(graph: Graph, start: int) -> Iterator[tuple[Candidate, ...]]:
    if start == len(graph) - 1:
        yield ()
    for s, parallel in graph[start].items():
        for edge, rest in product(parallel.values(), list(all_paths(graph, s))):
            yield (Candidate(start, s, edge["predictor"], edge["window"]), *rest)


def brute_force(graph: Graph, budget: int) -> Path | None:
    """The first of all paths in the documented order."""

    def rank(edges: tuple[Candidate, ...]) -> tuple[object, ...]:
        path = Path(edges, 0.0)
        return (
            total_weight(graph, path),
            len(edges),
            path.knots,
            [edge.window for edge in edges],
        )

    within = [edges for edges in all_paths(graph, 0) if len(edges) <= budget]
    if not within:
        return None
    best = min(within, key=rank)
    return Path(best, total_weight(graph, Path(best, 0.0)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(multigraphs())
def test_pssp_is_the_best_of_all_paths_ties_broken_as_documented(graph: Graph) -> None:
    for budget in range(1, len(graph)):
        expected = brute_force(graph, budget)
        if expected is None:
            with pytest.raises(InputError, match=f"budget {budget}: no path"):
                pssp(graph, [budget])
        else:
            assert pssp(graph, [budget]) == {budget: expected}


@settings(max_examples=50, deadline=None, derandomize=True)
@given(multigraphs())
def test_all_budgets_in_one_pass_are_the_same_as_each_alone(graph: Graph) -> None:
    reachable = [b for b in range(1, len(graph)) if brute_force(graph, b)]
    if reachable:
        assert pssp(graph, reachable) == {b: pssp(graph, [b])[b] for b in reachable}


def dijkstra(graph: Graph) -> dict[int, float]:
    """Least weight for each budget: networkx on (step, edges so far) nodes."""
    steps = len(graph) - 1
    expanded: Graph = nx.MultiDiGraph()
    for t, s, edge in graph.edges(data=True):
        for b in range(min(t, steps - 1) + 1):
            expanded.add_edge((t, b), (s, b + 1), weight=edge["weight"])
    lengths = nx.single_source_dijkstra_path_length(expanded, (0, 0))
    return {
        budget: min(lengths.get((steps, b), math.inf) for b in range(1, budget + 1))
        for budget in range(1, steps + 1)
    }


@pytest.mark.parametrize(
    ("steps", "max_edge", "metric", "predictors", "gamma"),
    [
        (20, 20, "l1", ["hold", "jvp"], 4.0),
        (20, 20, "displacement", ["hold", "jvp", "adams"], 1.0),
        (28, 9, "rms", ["hold", "adams"], 2.0),
        (50, 50, "l1", ["hold", "jvp"], 4.0),
    ],
)
def test_pssp_equals_a_budget_expanded_dijkstra_on_a_mixtures_profile(
    steps: int, max_edge: int, metric: str, predictors: list[str], gamma: float
) -> None:
    graph = deviation_graph(mixture_profile(steps), predictors, metric, gamma, max_edge)
    least = dijkstra(graph)
    budgets = [budget for budget in least if math.isfinite(least[budget])]
    assert budgets == list(range(math.ceil(steps / max_edge), steps + 1))
    for budget, path in pssp(graph, budgets).items():
        assert len(path.edges) <= budget
        assert path.weight == pytest.approx(least[budget], rel=1e-12, abs=1e-300)
        assert path.weight == pytest.approx(total_weight(graph, path), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("metric", METRICS)
def test_a_plan_costs_the_sum_of_its_edges_and_more_budget_never_costs_more(
    profile: Profile, metric: str
) -> None:
    schedule = solve(profile, range(2, 21), predictors=["hold", "jvp"], metric=metric)
    graph = deviation_graph(profile, ["hold", "jvp"], metric, 4.0, 20)
    for plan in schedule.plans:
        weights = []
        for (t, s), interval in zip(pairwise((*plan.knots, 20)), plan.intervals, strict=True):
            named = (interval.predictor, getattr(interval, "window", 0))
            weights += [
                edge["weight"]
                for edge in graph[t][s].values()
                if (edge["predictor"], edge["window"]) == named
            ]
        assert len(weights) == len(plan.knots)
        assert plan.cost == pytest.approx(math.fsum(weights), rel=1e-12)
    costs = [plan.cost for plan in schedule.plans]
    assert costs == sorted(costs, reverse=True)
    assert [plan.budget for plan in schedule.plans] == list(range(2, 21))


def test_a_budget_of_all_steps_runs_them_all_at_no_cost(profile: Profile) -> None:
    plan = solve(profile, [20]).plans[0]
    assert plan.knots == tuple(range(20))
    assert set(plan.intervals) == {HoldInterval()}
    assert plan.cost == 0.0


def test_adams_is_chosen_for_a_velocity_that_is_linear_in_sigma() -> None:
    sigmas = shifted_grid(12)
    velocities = euler(polynomial(noise(2, 8)), noise(1, 8)[0], sigmas)[1]
    schedule = solve(profile_of([velocities], sigmas), [3], predictors=["adams"], metric="rms")
    assert AdamsInterval(order=2, gains=(1.0, 1.0)) in schedule.plans[0].intervals
    assert schedule.plans[0].knots[:2] == (0, 1)


def test_the_schedule_says_what_it_is_for_and_where_it_comes_from(profile: Profile) -> None:
    schedule = solve(profile, [7, 5, 7], predictors=["jvp"], metric="rms", gamma=2, max_edge=6)
    assert [plan.budget for plan in schedule.plans] == [5, 7]
    assert schedule.grid.sigmas == profile.sigmas
    assert schedule.generation is not None
    assert schedule.generation.dtype == "float64"
    assert schedule.provenance is not None
    assert schedule.provenance.model_dump() == {
        "tool": schedule.provenance.tool,
        "planner": "pssp",
        "predictors": ("jvp",),
        "metric": "rms",
        "gamma": 2.0,
        "max_edge": 6,
        "profile": profile.fingerprint,
        "samples": 3,
    }
    assert schedule.provenance.tool.startswith("meancache-plan ")
    kinds = {type(interval) for plan in schedule.plans for interval in plan.intervals}
    assert kinds <= {HoldInterval, JvpInterval}


def test_the_runtime_reads_every_schedule_that_solve_makes(profile: Profile) -> None:
    schedule = solve(profile, range(1, 21), predictors=["hold", "jvp", "adams"], metric="rms")
    assert schedule.replayable().budgets == tuple(range(1, 21))


def test_solving_twice_gives_the_same_bytes(profile: Profile) -> None:
    once, again = (
        to_bytes(solve(mixture_profile(20), range(2, 21), metric="displacement")) for _ in range(2)
    )
    assert once == again


def test_edges_stay_within_max_edge(profile: Profile) -> None:
    for plan in solve(profile, range(4, 21), max_edge=5).plans:
        assert max(s - t for t, s in pairwise((*plan.knots, 20))) <= 5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"budgets": []}, "no budget"),
        ({"budgets": [0, 5]}, "budget 0 is out of range: choose 1 to 20"),
        ({"budgets": [5, 21]}, "budget 21 is out of range: choose 1 to 20"),
        ({"planner": "magic"}, "unknown planner 'magic': choose from " + ", ".join(PLANNERS)),
        ({"metric": "psnr"}, "unknown metric 'psnr': choose from l1, rms, displacement"),
        ({"predictors": ["hold", "x"]}, "unknown predictor 'x': choose from hold, jvp, adams"),
        ({"gamma": 0.0}, "gamma 0.0: must be positive"),
        ({"gamma": -1.0}, "gamma -1.0: must be positive"),
        ({"gamma": math.nan}, "gamma nan: must be positive"),
        ({"gamma": math.inf}, "gamma inf: must be positive"),
        ({"max_edge": 0}, "max_edge 0 is out of range: choose 1 to 20"),
        ({"max_edge": 21}, "max_edge 21 is out of range: choose 1 to 20"),
        ({"budgets": [9, 3], "max_edge": 6}, "budget 3: .* choose max_edge 7 or more"),
    ],
)
def test_solve_refuses_by_name_and_says_what_to_do(
    profile: Profile, arguments: dict[str, object], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        solve(profile, **{"budgets": [5], **arguments})


def test_the_smallest_max_edge_that_works_is_the_one_named(profile: Profile) -> None:
    assert len(solve(profile, [3], max_edge=7).plans[0].knots) == 3
