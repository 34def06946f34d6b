"""The benchmark of starting plans, on a small flow."""

from __future__ import annotations

import pytest

from benchmarks import start
from benchmarks.contest import Bench
from benchmarks.digits import DigitFlow, DigitSource
from benchmarks.planners import digits_contest
from meancache_plan.judge.findings import Row, Spread

BUDGET = 10


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("start")
    return digits_contest(DigitSource(DigitFlow.of_noise()), 2, 3, (BUDGET,), folder)


def row(method: str, budget: int, decibels: tuple[float, ...]) -> Row:
    figures = {"psnr_latent": Spread.of(decibels, higher=True)}
    return Row(method=method, setting="x", steps=50, budget=budget, figures=figures)


def test_starting_plans_are_judged_beside_all_that_fits_the_budget(contest: Bench) -> None:
    rows = list(start.judged(contest, start.contenders(contest)))
    methods = [row.method for row in rows]
    assert methods[0] == start.START
    assert {*start.BASES, "solve", "Qwen/Qwen-Image, released"} <= set(methods)
    assert not any("Z-Image" in method for method in methods)  # it has no plan for 10
    assert {row.mean("refreshes") for row in rows} == {BUDGET}


def test_the_chosen_rule_is_one_of_those_that_are_chosen_between(contest: Bench) -> None:
    plans = [method(contest)[BUDGET] for method in start.choices().values()]
    assert start.start(contest)[BUDGET] in plans
    assert len(set(map(str, plans))) == len(plans)


def test_a_gain_is_taken_sample_by_sample_and_then_over_budgets() -> None:
    rows = [
        row(start.START, 10, (30.0, 40.0)),
        row(start.START, 13, (32.0, 40.0)),
        row("solve", 10, (31.0, 38.0)),
        row("solve", 13, (33.0, 39.0)),
    ]
    gained = start.gains(rows)["solve"]
    assert gained[10].samples == (-1.0, 2.0)
    assert start.over_budgets(gained).samples == (-1.0, 1.5)


@pytest.mark.parametrize(("gained", "good"), [((1.0, 1.1), True), ((-1.0, 5.0), False)])
def test_starting_plans_are_worth_it_if_they_beat_everything_beyond_chance(
    gained: tuple[float, ...], good: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    surely = Spread.of((1.0, 1.1), higher=True)
    found = {name: {10: surely} for name in start.BASES}
    found[start.UNIFORM] = {10: Spread.of(gained, higher=True)}
    assert start.is_worth_it(found) == good
    assert ("MISSED" in capsys.readouterr().out) != good
