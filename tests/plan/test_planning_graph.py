"""The planning graph against brute force over its paths, and against what reads it back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import networkx as nx
import pytest

from meancache_plan import planning_graph, profile_flow, solve
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.planning_problem import Choices
from meancache_plan.show.images.graph_file import write_graph
from tests.fields import mixture, noise, shifted_grid
from tests.show.drawn import opened

T = 7
SIGMAS = shifted_grid(T)
CHOICES = {
    "path": {"planner": "path", "predictors": ("hold", "adams")},
    "pssp": {"planner": "pssp", "predictors": ("hold", "jvp")},
}


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_flow(mixture(), noise(4), SIGMAS)


def lightest(graph: nx.MultiDiGraph, budget: int, consistent: bool) -> float:
    """The least weight of all paths, one by one; of window K only after an edge from t − K."""

    def best(path: tuple[int, ...]) -> float:
        total, before = 0.0, 0
        for t, s in pairwise(path):
            allowed = [
                edge["weight"]
                for edge in graph[t][s].values()
                if not consistent or edge["window"] == t - before
            ]
            total, before = total + min(allowed), t
        return total

    paths = {tuple(path) for path in nx.all_simple_paths(graph, 0, T, cutoff=budget)}
    return min(map(best, paths))


@pytest.mark.parametrize("planner", CHOICES)
def test_a_plan_is_the_lightest_of_all_paths_of_the_graph(profile: Profile, planner: str) -> None:
    choices = CHOICES[planner]
    graph = planning_graph(profile, **choices)
    for entry in solve(profile, range(2, T + 1), **choices).plans:
        least = lightest(graph, entry.budget, consistent=planner == "path")
        assert entry.cost == pytest.approx(least, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("planner", CHOICES)
def test_its_nodes_are_the_noise_levels_and_its_weights_the_costs_to_the_power_gamma(
    profile: Profile, planner: str
) -> None:
    graph = planning_graph(profile, gamma=2.0, **CHOICES[planner])
    assert dict(graph.nodes(data="sigma")) == dict(enumerate(SIGMAS))
    assert {(t, s) for t, s in graph.edges()} == {
        (t, s) for t in range(T) for s in range(t + 1, T + 1)
    }
    for t, _, edge in graph.edges(data=True):
        assert edge["weight"] == pytest.approx(edge["cost"] ** 2, rel=1e-12)
        assert edge["predictor"] in ("hold", *CHOICES[planner]["predictors"])
        assert 0 <= edge["window"] <= t
    assert graph.graph["planner"] == planner
    assert graph.graph["gamma"] == 2.0
    assert graph.graph.keys() == set(Choices.__annotations__)


def test_it_is_read_back_from_graphml_as_it_was(profile: Profile, tmp_path: Path) -> None:
    graph = planning_graph(profile)
    write_graph(graph, tmp_path / "problem.graphml")
    again = nx.read_graphml(
        tmp_path / "problem.graphml", node_type=int, edge_key_type=int, force_multigraph=True
    )
    for default in ("node_default", "edge_default"):
        assert again.graph.pop(default) == {}
    assert nx.utils.graphs_equal(again, graph)


def test_it_is_drawn_with_the_plan_beneath(profile: Profile, tmp_path: Path) -> None:
    graph, plan = planning_graph(profile), solve(profile, [3]).plans[0]
    write_graph(graph, tmp_path / "graph.png")
    write_graph(graph, tmp_path / "plan.png", plan=plan)
    alone, beneath = opened(tmp_path / "graph.png"), opened(tmp_path / "plan.png")
    assert alone.shape == beneath.shape
    assert (alone != beneath).any()


def test_another_kind_of_file_and_a_plan_of_more_steps_are_refused(
    profile: Profile, tmp_path: Path
) -> None:
    graph = planning_graph(profile)
    with pytest.raises(InputError, match=r"name it \.graphml or \.png"):
        write_graph(graph, tmp_path / "graph.svg")
    more = solve(profile_flow(mixture(), noise(2), shifted_grid(2 * T)), [9]).plans[0]
    with pytest.raises(InputError, match="more steps than the graph's 7"):
        write_graph(graph, tmp_path / "graph.png", plan=more)


def test_choices_out_of_range_are_refused_as_solve_does(profile: Profile) -> None:
    with pytest.raises(InputError, match="max_edge 0 is out of range"):
        planning_graph(profile, max_edge=0)
    with pytest.raises(InputError, match="unknown planner 'magic'"):
        planning_graph(profile, planner="magic")
