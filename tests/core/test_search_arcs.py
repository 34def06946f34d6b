import math
from itertools import chain, combinations, pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meancache_plan.core.objective import Objective
from meancache_plan.core.search import LineGraph, shortest_paths
from meancache_plan.errors import InputError
from tests.trajectories import line_graph, mixture_trajectories

Knots = tuple[int, ...]


def weight_of(graph: LineGraph, knots: Knots) -> float:
    """Recompute a path's weight from its knots."""
    places = (*knots, len(graph.arcs))
    triples = zip(places, places[1:], places[2:], strict=False)
    return float(graph.first[places[1]]) + sum(float(graph.arcs[triple]) for triple in triples)


def all_paths(steps: int, budget: int) -> list[Knots]:
    """Every choice of at most ``budget`` knots, the first of them 0."""
    later = range(1, steps)
    chosen = chain.from_iterable(combinations(later, n) for n in range(min(budget, steps)))
    return [(0, *knots) for knots in chosen]


@st.composite
def line_graphs(draw: st.DrawFn) -> LineGraph:
    """Up to 6 steps; weights in eighths, so that sums are exact and tie, or ∞."""
    steps = draw(st.integers(1, 6))
    weights = st.sampled_from([0, 1, 2, 3, 5, 8, math.inf])
    size = steps + 1 + math.comb(steps + 1, 3)
    drawn = iter(draw(st.lists(weights, min_size=size, max_size=size)))
    first = np.array([math.inf] + [next(drawn) / 8 for _ in range(steps)])
    arcs = np.full((steps, steps, steps + 1), math.inf)
    for triple in combinations(range(steps + 1), 3):
        arcs[triple] = next(drawn) / 8
    return LineGraph(first, arcs)


@settings(max_examples=300, derandomize=True)
@given(line_graphs(), st.integers(1, 5))
def test_the_lightest_of_all_paths_are_found_fewer_intervals_first(
    graph: LineGraph, count: int
) -> None:
    steps = len(graph.arcs)
    for budget in range(1, steps + 1):
        ranked = sorted((weight_of(graph, p), len(p)) for p in all_paths(steps, budget))
        expected = [(weight, size) for weight, size in ranked if math.isfinite(weight)][:count]
        if not expected:
            with pytest.raises(InputError, match=f"budget {budget}: no path"):
                shortest_paths(graph, [budget], count)
            continue
        found = shortest_paths(graph, [budget], count)[budget]
        assert [(path.weight, len(path.knots)) for path in found] == expected
        assert len({path.knots for path in found}) == len(found)
        assert [weight_of(graph, path.knots) for path in found] == [p.weight for p in found]


@settings(max_examples=60, derandomize=True)
@given(line_graphs(), st.integers(1, 3))
def test_all_budgets_in_one_pass_are_the_same_as_each_alone(graph: LineGraph, count: int) -> None:
    steps = len(graph.arcs)
    reachable = [
        budget
        for budget in range(1, steps + 1)
        if any(math.isfinite(weight_of(graph, p)) for p in all_paths(steps, budget))
    ]
    if reachable:
        alone = {b: shortest_paths(graph, [b], count)[b] for b in reachable}
        assert shortest_paths(graph, reachable, count) == alone


def layered(graph: LineGraph, budget: int) -> "nx.DiGraph[object]":
    """networkx's own line graph of the intervals, once for each number of intervals so far."""
    steps = len(graph.arcs)
    intervals: nx.DiGraph[int] = nx.DiGraph(combinations(range(steps + 1), 2))
    arcs = nx.line_graph(intervals)
    layers: nx.DiGraph[object] = nx.DiGraph()
    for s in range(1, steps + 1):
        if math.isfinite(graph.first[s]):
            layers.add_edge("start", (1, 0, s), weight=graph.first[s])
    for (r, t), (_, s) in arcs.edges():
        if math.isfinite(graph.arcs[r, t, s]):
            for b in range(1, budget):
                layers.add_edge((b, r, t), (b + 1, t, s), weight=graph.arcs[r, t, s])
    for node in [n for n in layers if n != "start" and n[2] == steps]:
        layers.add_edge(node, "end", weight=0.0)
    return layers


@pytest.mark.parametrize(
    ("method", "steps", "max_edge"),
    [("dijkstra", 16, 16), ("bellman-ford", 16, 16), ("dijkstra", 20, 7)],
)
def test_the_shortest_path_is_networkxs_on_the_explicit_line_graph(
    method: str, steps: int, max_edge: int
) -> None:
    objective = Objective(("hold", "adams"), gamma=2.0, max_edge=max_edge)
    graph = line_graph(mixture_trajectories(steps), objective)
    budgets = range(math.ceil(steps / max_edge), steps, 3)
    for budget, paths in shortest_paths(graph, budgets).items():
        layers = layered(graph, budget)
        nodes = nx.shortest_path(layers, "start", "end", weight="weight", method=method)
        length = nx.path_weight(layers, nodes, weight="weight")
        assert paths[0].knots == tuple(node[1] for node in nodes[1:-1])
        assert paths[0].weight == pytest.approx(length, rel=1e-12)
        assert max(s - t for t, s in pairwise((*paths[0].knots, steps))) <= max_edge


def test_more_budget_never_costs_more_and_fewer_paths_are_the_first_of_more() -> None:
    graph = line_graph(mixture_trajectories(14), Objective(("hold", "adams"), gamma=2.0))
    many, few = (shortest_paths(graph, range(1, 15), count) for count in (6, 2))
    assert {budget: paths[:2] for budget, paths in many.items()} == few
    lightest = [paths[0].weight for paths in many.values()]
    assert lightest == sorted(lightest, reverse=True)
    assert [len(paths) for paths in many.values()] == [1, *[6] * 13]
