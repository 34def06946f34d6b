import math
from collections.abc import Iterable, Iterator
from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meancache_plan.core.interval_graph import interval_graph
from meancache_plan.core.objective import Objective
from meancache_plan.core.parallel_edges import Edge
from meancache_plan.core.search import Path
from meancache_plan.core.search import pssp as prepare
from meancache_plan.errors import InputError
from tests.fields import mixture_profile

Graph = nx.MultiDiGraph


def pssp(graph: Graph, budgets: Iterable[int]) -> dict[int, Path]:
    """The lightest path of a multigraph for each budget."""
    edges = list(graph.edges(data=True))
    intervals = [Edge(t, s, edge["predictor"], edge["window"]) for t, s, edge in edges]
    weights = np.array([edge["weight"] for _, _, edge in edges])
    found = prepare(intervals, len(graph) - 1)(weights, list(budgets), 1)
    return {budget: path for budget, [path] in found.items()}


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


def all_paths(graph: Graph, start: int) -> Iterator[tuple[Edge, ...]]:
    if start == len(graph) - 1:
        yield ()
    for s, parallel in graph[start].items():
        for edge, rest in product(parallel.values(), list(all_paths(graph, s))):
            yield (Edge(start, s, edge["predictor"], edge["window"]), *rest)


def brute_force(graph: Graph, budget: int) -> Path | None:
    """The first of all paths in the documented order."""

    def rank(edges: tuple[Edge, ...]) -> tuple[object, ...]:
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


@settings(max_examples=300, derandomize=True)
@given(multigraphs())
def test_pssp_is_the_best_of_all_paths_ties_broken_as_documented(graph: Graph) -> None:
    for budget in range(1, len(graph)):
        expected = brute_force(graph, budget)
        if expected is None:
            with pytest.raises(InputError, match=f"budget {budget}: no path"):
                pssp(graph, [budget])
        else:
            assert pssp(graph, [budget]) == {budget: expected}


@settings(max_examples=50, derandomize=True)
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
    ("steps", "objective"),
    [
        (20, Objective(("hold", "jvp"), "l1", "none", gamma=4.0)),
        (20, Objective(("hold", "jvp", "adams"), "rms", "width")),
        (28, Objective(("hold", "adams"), "rms", "none", "cvar:0.5", gamma=2.0, max_edge=9)),
        (50, Objective(("hold", "jvp"), "l1", "none", gamma=4.0)),
    ],
)
def test_pssp_equals_a_budget_expanded_dijkstra_on_a_mixtures_profile(
    steps: int, objective: Objective
) -> None:
    graph = interval_graph(mixture_profile(steps), objective)
    least = dijkstra(graph)
    budgets = [budget for budget in least if math.isfinite(least[budget])]
    assert budgets == list(range(math.ceil(steps / objective.max_edge), steps + 1))
    for budget, path in pssp(graph, budgets).items():
        assert len(path.edges) <= budget
        assert path.weight == pytest.approx(least[budget], rel=1e-12, abs=1e-300)
        assert path.weight == pytest.approx(total_weight(graph, path), rel=1e-12, abs=1e-300)
