"""Reliability against plain loops: resampled sub-profiles, solved one by one, priced by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from meancache_plan.core.objective import Objective
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.plan import reliability, resample
from meancache_plan.plan.reliability import rank_correlation, regret, stability, with_reliability
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule, from_bytes, to_bytes
from meancache_runtime.predictors import Adams
from meancache_runtime.schedule import Plan
from tests.fields import profile_of, shifted_grid

STEPS, PROMPTS, SEEDS = 8, 6, 2
SIGMAS = shifted_grid(STEPS)
BUDGETS = (3, 4, 5)
GROUP = np.repeat(np.arange(PROMPTS), SEEDS)
METHODS: dict[str, dict[str, Any]] = {
    "path": {"planner": "path", "predictors": ("hold", "adams"), "weighting": "width"},
    "path, worst": {"planner": "path", "predictors": ("adams",), "statistic": "cvar:0.5"},
    "pssp": {"planner": "pssp", "predictors": ("hold",), "metric": "l1", "weighting": "none"},
    "pssp, quantile": {"planner": "pssp", "predictors": ("hold",), "statistic": "quantile:0.7"},
}


def bumps(centres: Sequence[float], seed: int = 0) -> NDArray[np.float64]:
    """Velocities [S, T, 5] that bend most where σ is at a sample's centre; no two alike."""
    rng = np.random.default_rng(seed)
    sigma = np.array(SIGMAS[:-1])[:, None]
    return np.stack(
        [rng.normal(size=5) + rng.normal(size=5) * np.tanh((sigma - c) / 0.1) for c in centres]
    )


def profile(velocities: NDArray[np.float64], group: NDArray[np.int64] = GROUP) -> Profile:
    measured = profile_of([torch.from_numpy(sample)[:, None] for sample in velocities], SIGMAS)
    return replace(measured, prompt_index=group[: len(velocities)] * 3 + 1)


def rows(whole: Profile, chosen: Sequence[int]) -> Profile:
    """A profile of these samples, renumbered: a sample may be there twice."""
    settings = whole.settings.model_copy(update={"samples_total": len(chosen)})
    each = {
        name: values[list(chosen)]
        for name, values in whole.tensors().items()
        if not name.startswith("propagation")
    }
    return replace(whole, settings=settings, **{**each, "sample_index": np.arange(len(chosen))})


def of_prompts(drawn: Sequence[int]) -> list[int]:
    return [sample for prompt in drawn for sample in np.flatnonzero(prompt == GROUP)]


def knots_of(schedule: Schedule) -> dict[int, tuple[int, ...]]:
    return {plan.budget: plan.knots for plan in schedule.plans}


def objective(**chosen: Any) -> tuple[Objective, str]:
    """The objective that ``solve`` has with these arguments, and the planner."""
    planner = chosen.pop("planner")
    merged = {"weighting": "width", "gamma": 4.0, "max_edge": STEPS}
    return Objective(**{**merged, **chosen}), planner


def cost_by_hand(velocities: NDArray[np.float64], plan: Plan, chosen: dict[str, Any]) -> float:
    """Σ C^γ of a plan of ``hold`` and ``adams``, from the definitions, on all samples."""
    wanted, _ = objective(**chosen)
    total, sigma = 0.0, np.array(SIGMAS)
    ends = (*plan.knots[1:], STEPS)
    for n, (t, s, interval) in enumerate(zip(plan.knots, ends, plan.intervals, strict=True)):
        if s == t + 1:
            continue
        h, delta = sigma[s] - sigma[t], np.diff(sigma)[t:s]
        missed = (delta[:, None] * velocities[:, t:s]).sum(axis=1) / h - velocities[:, t]
        if isinstance(interval, Adams):
            r = plan.knots[n - 1]
            slope = (velocities[:, t] - velocities[:, r]) / (sigma[t] - sigma[r])
            missed -= ((delta * sigma[t:s]).sum() / h - sigma[t]) * slope
        rms = np.sqrt((missed**2).mean(axis=1))
        each = np.abs(missed).mean(axis=1) if wanted.metric == "l1" else rms
        weight = 1.0 if wanted.weighting == "none" else abs(h)
        worst = np.sort(weight * each)
        match wanted.statistic:
            case "mean":
                cost = worst.mean()
            case "cvar:0.5":
                cost = worst[len(worst) // 2 :].mean()
            case _:
                cost = np.quantile(worst, 0.7)
        total += float(cost) ** wanted.gamma
    return total


VELOCITIES = bumps(np.linspace(0.1, 0.9, PROMPTS * SEEDS).tolist())


@pytest.mark.parametrize("chosen", METHODS.values(), ids=METHODS)
def test_stability_is_the_share_of_resampled_profiles_whose_plan_has_the_knot(
    chosen: dict[str, Any],
) -> None:
    whole = profile(VELOCITIES)
    plans = knots_of(solve(whole, BUDGETS, **chosen))
    generator = np.random.default_rng(reliability.SEED)
    again = [
        knots_of(solve(rows(whole, of_prompts(drawn)), BUDGETS, **chosen))
        for drawn in generator.integers(PROMPTS, size=(12, PROMPTS)).tolist()
    ]
    expected = {
        budget: tuple(sum(knot in other[budget] for other in again) / 12 for knot in knots)
        for budget, knots in plans.items()
    }
    assert stability(whole, *objective(**chosen), plans, resamples=12) == expected
    assert min(min(shares) for shares in expected.values()) < 1


@pytest.mark.parametrize("chosen", METHODS.values(), ids=METHODS)
def test_regret_is_the_mean_excess_on_all_samples_of_plans_from_few_prompts(
    chosen: dict[str, Any],
) -> None:
    whole = profile(VELOCITIES)
    generator = np.random.default_rng(reliability.SEED)
    shuffled = [generator.permutation(PROMPTS).tolist() for _ in range(reliability.DRAWS)]
    best = {
        p.budget: cost_by_hand(VELOCITIES, p, chosen) for p in solve(whole, BUDGETS, **chosen).plans
    }
    expected = {
        n: np.mean(
            [
                cost_by_hand(VELOCITIES, plan, chosen) / best[plan.budget] - 1
                for order in shuffled
                for plan in solve(rows(whole, of_prompts(order[:n])), BUDGETS, **chosen).plans
            ]
        )
        for n in (1, 2, 3)
    }
    assert regret(whole, *objective(**chosen), BUDGETS) == pytest.approx(expected, rel=1e-6)
    assert expected[1] > 0


def test_rank_correlation_is_the_mean_of_spearmans_over_pairs_of_prompts() -> None:
    whole, sigma = profile(VELOCITIES), np.array(SIGMAS)
    costs = [
        [
            np.mean(
                [
                    np.sqrt(
                        (((np.diff(sigma)[t:s, None] * (v[t:s] - v[t])).sum(axis=0)) ** 2).mean()
                    )
                    for v in VELOCITIES[prompt == GROUP]
                ]
            )
            for t in range(1, STEPS)
            for s in range(t + 2, STEPS + 1)
        ]
        for prompt in range(PROMPTS)
    ]
    expected = np.mean([spearmanr(a, b).statistic for a, b in combinations(costs, 2)])
    found = rank_correlation(whole, Objective(("hold",), weighting="width"))
    assert found == pytest.approx(expected, abs=1e-12)
    assert expected < 0.9


@pytest.mark.parametrize("chosen", METHODS.values(), ids=METHODS)
def test_identical_prompts_agree_regret_nothing_and_plan_the_same(chosen: dict[str, Any]) -> None:
    same = profile(np.repeat(VELOCITIES[:1], PROMPTS * SEEDS, axis=0))
    plans = knots_of(solve(same, BUDGETS, **chosen))
    wanted, planner = objective(**chosen)
    assert rank_correlation(same, wanted) == pytest.approx(1.0)
    assert regret(same, wanted, planner, BUDGETS) == pytest.approx({1: 0.0, 2: 0.0, 3: 0.0})
    shares = stability(same, wanted, planner, plans)
    assert shares == {budget: (1.0,) * len(knots) for budget, knots in plans.items()}


def test_two_camps_of_prompts_are_less_reliable_than_one() -> None:
    """Half of the prompts bend early, the others late; or all of them early."""
    wanted, planner = objective(planner="path", predictors=("adams",))
    early = profile(bumps([0.9] * 12))
    camps = profile(bumps([0.9] * 6 + [0.3] * 6))
    found = []
    for whole in (early, camps):
        plans = knots_of(solve(whole, BUDGETS))
        shares = stability(whole, wanted, planner, plans)
        found.append(
            (
                rank_correlation(whole, wanted),
                -regret(whole, wanted, planner, BUDGETS)[1],
                np.mean([share for each in shares.values() for share in each]),
            )
        )
    assert all(one > two for one, two in zip(*found, strict=True))


@pytest.mark.parametrize(
    "chosen",
    [
        *METHODS.values(),
        {"planner": "path", "predictors": ("fitted", "hold")},
        {"planner": "pssp", "predictors": ("jvp", "hold", "adams")},
    ],
)
def test_drawing_every_sample_once_plans_and_prices_as_solve_does(chosen: dict[str, Any]) -> None:
    whole = profile(VELOCITIES)
    plans = solve(whole, range(1, STEPS + 1), **chosen).plans
    wanted, planner = objective(**chosen)
    once = np.ones((1, whole.samples), dtype=np.int64)
    [found] = resample.plan_draws(whole, wanted, planner, once, [p.budget for p in plans])
    price = resample.prices(whole, wanted, planner, found.values())
    for plan in plans:
        intervals = found[plan.budget]
        assert tuple(interval.start for interval in intervals) == plan.knots
        assert tuple((i.start, i.end) for i in intervals) == tuple(pairwise((*plan.knots, STEPS)))
        assert sum(price[i] for i in intervals) == pytest.approx(plan.cost, rel=1e-9, abs=1e-300)


def test_little_memory_gives_the_same_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, draws = profile(VELOCITIES), np.random.default_rng(0).integers(1, 4, size=(5, 12))
    for chosen in METHODS.values():
        wanted, planner = objective(**chosen)
        at_once = resample.plan_draws(whole, wanted, planner, draws, BUDGETS)
        with monkeypatch.context() as patch:
            patch.setattr(resample, "WORKSPACE", 1)
            assert resample.plan_draws(whole, wanted, planner, draws, BUDGETS) == at_once


def test_an_unknown_planner_is_refused_by_name() -> None:
    wanted, _ = objective(planner="path", predictors=("hold",))
    with pytest.raises(InputError, match="unknown planner 'magic': choose from path, pssp"):
        regret(profile(VELOCITIES), wanted, "magic", [3])


def test_a_schedule_gets_the_same_reliability_every_time_and_its_file_is_valid() -> None:
    whole = profile(VELOCITIES)
    plain = solve(whole, BUDGETS)
    once, again = with_reliability(whole, plain), with_reliability(profile(VELOCITIES), plain)
    assert to_bytes(once) == to_bytes(again)
    assert from_bytes(to_bytes(once)) == once
    made = once.provenance
    assert made is not None
    assert made.reliability is not None
    assert list(made.reliability.regret) == ["1", "2", "3"]
    assert [len(entry.stability or ()) for entry in made.plans] == [
        len(p.knots) for p in once.plans
    ]
    assert once.plans == plain.plans


def test_a_plan_that_the_planner_would_not_make_has_no_stability() -> None:
    whole = profile(VELOCITIES)
    plain = solve(whole, BUDGETS)
    foreign = plain.plans[1].model_copy(update={"knots": (0, 1, 2, 3)})
    mixed = plain.model_copy(update={"plans": (plain.plans[0], foreign, plain.plans[2])})
    made = with_reliability(whole, mixed).provenance
    assert made is not None
    assert [entry.stability is None for entry in made.plans] == [False, True, False]


def test_a_single_prompt_leaves_everything_unknown() -> None:
    alone = profile(VELOCITIES[:3], np.zeros(3, dtype=np.int64))
    made = with_reliability(alone, solve(alone, BUDGETS)).provenance
    assert made is not None
    assert made.reliability is not None
    assert (made.reliability.rank_correlation, made.reliability.regret) == (None, {})
    assert all(entry.stability is None for entry in made.plans)


def test_prompts_that_never_move_have_no_rank_correlation_and_no_regret() -> None:
    still = profile(np.zeros_like(VELOCITIES))
    wanted, planner = objective(planner="path", predictors=("hold", "adams"))
    assert rank_correlation(still, wanted) is None
    assert regret(still, wanted, planner, BUDGETS) == {1: 0.0, 2: 0.0, 3: 0.0}


def test_a_schedule_of_another_profile_or_of_none_is_refused() -> None:
    whole, other = profile(VELOCITIES), profile(VELOCITIES[::-1].copy())
    plain = solve(whole, BUDGETS)
    for wrong in (solve(other, BUDGETS), plain.model_copy(update={"provenance": None})):
        with pytest.raises(InputError, match="not planned from this profile: solve it again"):
            with_reliability(whole, wrong)
