from dataclasses import replace

import numpy as np
import pytest

from meancache_plan.core import interval_costs
from meancache_plan.core.deviation import rms
from meancache_plan.core.interval_costs import edge_costs, sample_costs
from meancache_plan.core.interval_graph import interval_graph
from meancache_plan.core.objective import DEVIATIONS, WEIGHTINGS, Objective
from meancache_plan.core.parallel_edges import Edge, residuals
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from tests.fields import mixture_profile
from tests.trajectories import with_propagation

T = 10


@pytest.fixture(scope="module")
def profile() -> Profile:
    return with_propagation(mixture_profile(T))


def paper(predictors: tuple[str, ...] = ("hold", "jvp"), max_edge: int = T) -> Objective:
    """The paper's objective over these predictors."""
    return Objective(predictors, "l1", "none", gamma=4.0, max_edge=max_edge)


def test_nodes_are_the_steps_and_parallel_edges_keep_the_order_of_predictors(
    profile: Profile,
) -> None:
    graph = interval_graph(profile, paper(("jvp", "hold"), max_edge=4))
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


@pytest.mark.parametrize("metric", DEVIATIONS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_an_edge_of_one_step_costs_exactly_nothing(
    profile: Profile, metric: str, weighting: str
) -> None:
    noisy = replace(profile, l1=profile.l1 + np.float32(1e-3))
    graph = interval_graph(noisy, Objective(("hold", "jvp"), metric, weighting, gamma=4.0))
    assert [graph[t][t + 1][0]["cost"] for t in range(T)] == [0.0] * T


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.0])
def test_weights_are_costs_to_the_power_gamma(profile: Profile, gamma: float) -> None:
    graph = interval_graph(profile, replace(paper(), gamma=gamma))
    for _, _, edge in graph.edges(data=True):
        assert edge["weight"] == pytest.approx(edge["cost"] ** gamma, rel=1e-12)


@pytest.mark.parametrize("metric", DEVIATIONS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("statistic", ["mean", "quantile:0.5", "cvar:0.4"])
def test_the_cost_is_the_statistic_over_samples_of_the_weighted_metric(
    profile: Profile, metric: str, weighting: str, statistic: str
) -> None:
    edge = Edge(4, 8, "jvp", 3)
    h = abs(profile.sigmas[8] - profile.sigmas[4])
    factor = {"none": 1.0, "width": h, "propagated": h * profile.propagation_by_step()[8]}
    column = list(profile.index).index((4, 8, 3))
    each = {
        "l1": [float(sample[column]) for sample in profile.l1],
        "rms": [
            float(rms(gram[None], profile.numel, residuals(profile.sigmas, [edge]))[0, 0])
            for gram in profile.grams
        ],
    }
    low, middle, high = sorted(each[metric])
    reduced = {"mean": (low + middle + high) / 3, "quantile:0.5": middle}
    expected = factor[weighting] * reduced.get(statistic, (middle + high) / 2)
    objective = Objective(("hold", "jvp"), metric, weighting, statistic)
    alone = sample_costs(profile, objective, [edge])
    assert objective.reduce(alone)[0] == pytest.approx(expected, rel=1e-12)
    graph = interval_graph(profile, objective)
    assert [e["cost"] for e in graph[4][8].values() if e["window"] == 3] == [
        pytest.approx(expected, rel=1e-12)
    ]


def test_edges_scored_in_blocks_cost_what_they_cost_at_once(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = Objective(("hold", "jvp"), "rms", "propagated")
    [(intervals, at_once)] = edge_costs(profile, objective)
    monkeypatch.setattr(interval_costs, "BLOCK", 7)
    blocks = list(edge_costs(profile, objective))
    assert len(blocks) == -(-len(intervals) // 7)
    assert [each for some, _ in blocks for each in some] == intervals
    found = np.concatenate([each for _, each in blocks], axis=1)
    np.testing.assert_allclose(found, at_once, rtol=1e-9, atol=1e-12)


def test_released_edges_cost_what_jvp_edges_do(profile: Profile) -> None:
    for metric in DEVIATIONS:
        jvp, released = (
            interval_graph(profile, Objective((name,), metric, "none")).edges(data="cost")
            for name in ("jvp", "released")
        )
        assert list(jvp) == list(released)


def test_l1_refuses_what_was_not_measured_and_says_what_to_do(profile: Profile) -> None:
    with pytest.raises(
        InputError, match="predictor 'adams': choose metric rms, or predictors hold"
    ):
        interval_graph(profile, paper(("hold", "adams")))
    short = mixture_profile(T, max_edge=4)
    with pytest.raises(InputError, match="edges of up to 4 steps: choose a smaller max_edge"):
        interval_graph(short, paper(("hold",), max_edge=5))
    assert interval_graph(short, Objective(("hold",), "rms", "none", max_edge=5)).has_edge(0, 5)


def test_propagated_refuses_a_profile_that_has_not_measured_it() -> None:
    with pytest.raises(InputError, match="does not know how errors propagate: calibrate with"):
        interval_graph(mixture_profile(T), Objective(("hold",), weighting="propagated"))


@pytest.mark.parametrize("gamma", [300.0, 1e5])
def test_a_gamma_that_would_lose_costs_to_underflow_is_refused(
    profile: Profile, gamma: float
) -> None:
    with pytest.raises(InputError, match="choose a smaller gamma"):
        interval_graph(profile, replace(paper(("hold",)), gamma=gamma))
