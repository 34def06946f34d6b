from dataclasses import replace

import numpy as np
import pytest

from meancache_plan.deviation import rms
from meancache_plan.errors import InputError
from meancache_plan.graph import METRICS, deviation_graph
from meancache_plan.predictors import Candidate, residuals
from meancache_plan.profile import Profile
from tests.fields import mixture_profile

T = 10


@pytest.fixture(scope="module")
def profile() -> Profile:
    return mixture_profile(T)


def test_nodes_are_the_steps_and_parallel_edges_keep_the_order_of_predictors(
    profile: Profile,
) -> None:
    graph = deviation_graph(profile, ["jvp", "hold"], "l1", 4.0, max_edge=4)
    assert list(graph) == list(range(T + 1))
    assert {(t, s) for t, s in graph.edges()} == {
        (t, s) for t in range(T) for s in range(t + 1, min(t + 4, T) + 1)
    }
    assert [(e["predictor"], e["window"]) for e in graph[3][6].values()] == [
        ("jvp", 1),
        ("jvp", 2),
        ("jvp", 3),
        ("hold", 0),
    ]
    assert [e["predictor"] for e in graph[0][3].values()] == ["hold"]


@pytest.mark.parametrize("metric", METRICS)
def test_an_edge_of_one_step_costs_exactly_nothing(profile: Profile, metric: str) -> None:
    noisy = replace(profile, l1=profile.l1 + np.float32(1e-3))
    graph = deviation_graph(noisy, ["hold", "jvp"], metric, 4.0, T)
    assert [graph[t][t + 1][0]["cost"] for t in range(T)] == [0.0] * T


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.0])
def test_weights_are_costs_to_the_power_gamma(profile: Profile, gamma: float) -> None:
    graph = deviation_graph(profile, ["hold", "jvp"], "l1", gamma, T)
    for _, _, edge in graph.edges(data=True):
        assert edge["weight"] == pytest.approx(edge["cost"] ** gamma, rel=1e-12)


def test_the_cost_is_the_mean_over_samples_of_the_metric(profile: Profile) -> None:
    edge = Candidate(4, 8, "jvp", 3)
    h = abs(profile.sigmas[8] - profile.sigmas[4])
    column = list(profile.index).index((4, 8, 3))
    each = [
        rms(gram[None], profile.numel, residuals(profile.sigmas, [edge]))[0, 0]
        for gram in profile.grams
    ]
    expected = {
        "l1": np.mean([sample[column] for sample in profile.l1], dtype=np.float64),
        "rms": np.mean(each),
        "displacement": h * np.mean(each),
    }
    for name, metric in METRICS.items():
        assert metric(profile, [edge])[0] == pytest.approx(expected[name], rel=1e-12)


def test_l1_refuses_what_was_not_measured_and_says_what_to_do(profile: Profile) -> None:
    with pytest.raises(InputError, match="predictor 'adams': choose metric rms or displacement"):
        deviation_graph(profile, ["hold", "adams"], "l1", 4.0, T)
    short = mixture_profile(T, max_edge=4)
    with pytest.raises(InputError, match="edges of up to 4 steps: choose a smaller max_edge"):
        deviation_graph(short, ["hold"], "l1", 4.0, 5)
    assert deviation_graph(short, ["hold"], "rms", 4.0, 5).has_edge(0, 5)


@pytest.mark.parametrize("gamma", [300.0, 1e5])
def test_a_gamma_that_would_lose_costs_to_underflow_is_refused(
    profile: Profile, gamma: float
) -> None:
    with pytest.raises(InputError, match="choose a smaller gamma"):
        deviation_graph(profile, ["hold"], "l1", gamma, T)
