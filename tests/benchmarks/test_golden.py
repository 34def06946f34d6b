"""The benchmark of one shared schedule beside each prompt's best, on a small flow."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks import golden
from benchmarks.contest import Bench, fitted
from benchmarks.digits import DigitFlow, DigitSource
from benchmarks.planners import digits_contest
from benchmarks.schedule_pool import pool
from benchmarks.schedule_search import annealed, search
from meancache_plan import solve
from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.improve.closed_loop import prior_gains
from meancache_plan.improve.dealt_samples import final_errors
from meancache_plan.plan.simple_plans import hold_plan
from meancache_runtime.schedule import Grid, Schedule

STEPS, BUDGET = 9, 3


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("golden")
    return digits_contest(DigitSource(DigitFlow.of_noise(), STEPS), 4, 4, (BUDGET,), folder)


def test_a_schedule_is_near_where_it_is_within_a_decibel_of_the_best_of_all() -> None:
    shared = {
        "one": np.array([30.0, 40.0, 50.0, 20.0]),
        "other": np.array([31.5, 10.0, 49.0, 20.0]),
    }
    pooled = np.array([[30.5, 41.0, 20.0, 20.0], [10.0, 41.1, 20.0, 22.0]])
    one, other = golden.standings(shared, pooled, 13)
    gaps = [1.5, 1.1, 0.0, 2.0]
    assert one.gap.samples == pytest.approx(gaps)
    assert one.near.samples == (0.0, 0.0, 1.0, 0.0)
    assert one.gap.interval == bootstrap_interval(one.gap.samples)
    assert other.near.mean == 0.5
    assert (one.method, one.budget, one.pool) == ("one", 13, 4)


def test_the_search_finds_the_best_of_all_knots_where_trials_suffice() -> None:
    rng = np.random.default_rng(0)
    values = {(0, *rest): rng.random() for rest in combinations(range(1, 7), 2)}
    found = search(values.__getitem__, (0, 2, 4), 7, 200)
    assert values[found] == max(values.values())


def test_the_search_tries_no_more_than_it_may_and_never_forgets_the_best() -> None:
    tried: list[tuple[int, ...]] = []

    def quality(knots: tuple[int, ...]) -> float:
        tried.append(knots)
        return float(sum(knots) % 7)

    found = search(quality, (0, 3, 6), 9, 20)
    assert len(tried) == 21
    assert quality(found) == max(map(quality, tried[:21]))
    assert {len(set(knots)) for knots in tried} == {3}
    assert {knots[0] for knots in tried} == {0}


def test_the_annealed_plan_is_at_least_as_good_as_evenly_spread_ones(contest: Bench) -> None:
    rows = range(len(contest.fitted.prompt_index))

    def mean(plan) -> float:
        schedule = Schedule(None, Grid(STEPS, contest.fitted.sigmas, 0.05), (plan,))
        errors = final_errors(contest.fitted, rows, contest.fitted.replay(rows, schedule, BUDGET))
        return float(-np.log10(errors).mean())

    assert mean(annealed(contest, BUDGET, 30)) > mean(hold_plan((0, 3, 6)))


def test_the_pool_is_of_many_different_plans_of_one_budget(contest: Bench) -> None:
    found = pool(contest, BUDGET, 60, 2)
    assert len(found) == len(set(found)) >= 60
    assert {len(plan.knots) for plan in found} == {BUDGET}
    solved = solve(contest.profile, [BUDGET], predictors=["adams"]).plans[0].plan
    assert (solved.knots, solved.intervals) in [(each.knots, each.intervals) for each in found]
    fits = [fitted(contest, plan) for plan in found if prior_gains(plan) is not None]
    assert len(set(fits) & set(found)) >= 2
    assert pool(contest, BUDGET, 60, 2) == found


def test_it_prints_and_writes_every_shared_schedule_and_makes_no_sample_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--tiny", "--folder", str(tmp_path / "work"), "--json", str(tmp_path / "g.json")]
    golden.main(options)
    said = capsys.readouterr().out
    rows = json.loads((tmp_path / "g.json").read_text())
    assert len(rows) == 4
    for row in rows:
        assert f"{100 * row['near']['mean']:.1f} (" in said
        assert row["method"] in said
        assert row["pool"] >= 24
    monkeypatch.setattr("benchmarks.samples.DigitSamples.replay", pytest.fail)
    golden.main(options)
    assert capsys.readouterr().out == said
