"""``solve`` at the command line: what it writes and says, and how it refuses bad input."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer

from meancache_plan import load_schedule
from meancache_plan.cli import app
from meancache_plan.core.predictors import PREDICTORS
from meancache_plan.plan.planners import PLANNERS
from meancache_runtime import load_schedule as load_at_runtime
from tests.commands import PAPER, STEPS, refuse, run


def test_solve_writes_a_schedule_from_the_default_profile(
    profile: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("solve", "--budget", "2,4-5")
    assert [plan.budget for plan in load_schedule(cwd / "schedule.json").plans] == [2, 4, 5]
    assert "schedule.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "budgets"),
    [
        (("--speedup", "2"), [4]),
        (("--min-psnr", "0.1"), [2]),
        (("--budget", "3", *PAPER), [3]),
        (("--budget", "3", "--predictors", "hold,fitted", "--order", "3"), [3]),
        (("--budget", "3", "--statistic", "cvar:0.8", "--gamma", "1", "--max-edge", "4"), [3]),
    ],
)
def test_solve_gives_what_is_asked_for(
    profile: Path, cwd: Path, arguments: tuple[str, ...], budgets: list[int]
) -> None:
    run("solve", *arguments)
    assert [plan.budget for plan in load_schedule(cwd / "schedule.json").plans] == budgets


def test_solve_all_prints_what_each_budget_gives_and_leaves_out_what_is_useless(
    profile: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("solve", "--all")
    made = load_schedule(cwd / "schedule.json")
    assert made.provenance is not None
    left_out = [entry.budget for entry in made.provenance.pruned]
    assert sorted([*made.budgets, *left_out]) == list(range(2, STEPS))
    text = capsys.readouterr().out
    for plan, record in zip(made.plans, made.provenance.plans, strict=True):
        assert record.predicted is not None
        row = f"{plan.budget} {STEPS / plan.budget:.2f}× {record.predicted.psnr_latent:.1f} dB"
        assert row in re.sub(" +", " ", text)
    assert all(f"no plan for budget {budget}: " in text for budget in left_out)


def test_solve_carries_the_profile_over_to_another_grid(profile: Path, cwd: Path) -> None:
    (cwd / "s.txt").write_text("1 0.8 0.5 0.3 0")
    grids = {
        ("--steps", "12"): np.linspace(1, 0, 13),
        ("--shift", "3"): 3 * np.linspace(1, 0, 9) / (1 + 2 * np.linspace(1, 0, 9)),
        ("--steps", "4", "--shift", "2"): [1, 6 / 7, 2 / 3, 2 / 5, 0],
        ("--sigmas", "s.txt"): [1, 0.8, 0.5, 0.3, 0],
    }
    for options, sigmas in grids.items():
        run("solve", "--budget", "3", *options)
        found = load_schedule(cwd / "schedule.json").grid.sigmas
        assert found == pytest.approx(tuple(sigmas), abs=1e-12)


@pytest.mark.parametrize(
    ("option", "names"), [("predictors", tuple(PREDICTORS)), ("planner", tuple(PLANNERS))]
)
def test_the_help_names_every_entry_of_a_registry(option: str, names: tuple[str, ...]) -> None:
    parameters = typer.main.get_command(app).commands["solve"].params  # type: ignore[attr-defined]
    (help,) = (parameter.help for parameter in parameters if parameter.name == option)
    assert set(names) <= set(re.findall(r"\w+", help))


def test_solve_twice_writes_the_same_bytes(profile: Path, cwd: Path) -> None:
    run("solve", "--budget", "4", "-o", "a.json")
    run("solve", "--budget", "4", "-o", "b.json")
    assert (cwd / "a.json").read_bytes() == (cwd / "b.json").read_bytes()


def test_how_sure_the_plans_are_is_left_unasked_if_one_says_so(profile: Path, cwd: Path) -> None:
    run("solve", "--budget", "3,4", "-o", "asked.json")
    run("solve", "--budget", "3,4", "--no-reliability", "-o", "unasked.json")
    asked, unasked = (load_schedule(cwd / f"{name}.json") for name in ("asked", "unasked"))
    assert asked.plans == unasked.plans
    assert asked.provenance is not None
    assert asked.provenance.reliability is not None
    assert set(asked.provenance.reliability.regret) == {"1", "2"}, "of the profile's 4 prompts"
    for plan, record in zip(asked.plans, asked.provenance.plans, strict=True):
        assert record.stability is not None
        assert len(record.stability) == len(plan.knots)
    assert unasked.provenance is not None
    assert unasked.provenance.reliability is None
    assert all(record.stability is None for record in unasked.provenance.plans)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--budget, --speedup, --max-seconds, --min-psnr, --all"),
        (("--budget", "3", "--all"), "--budget and --all cannot be combined"),
        (("--speedup", "2", "--min-psnr", "9"), "--speedup and --min-psnr cannot be"),
        (("--budget", "x"), "give a number"),
        (("--budget", ""), "give a number"),
        (("--budget", "9-3"), "backwards"),
        (("--budget", "0"), "budget 0"),
        (("--budget", "99"), "budget 99"),
        (("--speedup", "0.5"), "--speedup 0.5"),
        (("--speedup", "9"), "8 steps allow 1 to 8"),
        (("--speedup", "nan"), "--speedup nan"),
        (("--speedup", "fast"), "--speedup"),
        (("--max-seconds", "1"), "--max-seconds: this profile has no timings"),
        (("--min-psnr", "-3"), "--min-psnr -3"),
        (("--min-psnr", "nan"), "--min-psnr nan"),
        (("--min-psnr", "119"), "--min-psnr 119: no budget is predicted to reach it"),
        (("--budget", "3", "--planner", "best"), "planner 'best'"),
        (("--budget", "3", "--predictors", "magic"), "magic"),
        (("--budget", "3", "--predictors", "hold,jvp"), "jvp"),
        (("--budget", "3", "--metric", "l7"), "metric 'l7'"),
        (("--budget", "3", "--metric", "l1"), "metric 'l1'"),
        (("--budget", "3", *PAPER[:2], "--metric", "l1"), "metric l1"),
        (("--budget", "3", "--weighting", "heavy"), "weighting 'heavy'"),
        (("--budget", "3", "--weighting", ""), "weighting ''"),
        (("--budget", "3", "--statistic", "mode"), "statistic 'mode'"),
        (("--budget", "3", "--gamma", "0"), "gamma 0"),
        (("--budget", "3", "--gamma", "nan"), "gamma nan"),
        (("--budget", "3", "--order", "5"), "order 5"),
        (("--budget", "3", "--order", "3"), "order 3 is for the predictor fitted"),
        (("--budget", "2", "--max-edge", "3"), "max_edge"),
        (("--all", "--max-edge", "0"), "max_edge 0"),
        (("--budget", "3", "--steps", "1"), "--steps 1"),
        (("--budget", "3", "--shift", "-1"), "--shift -1"),
        (("--budget", "3", "--sigmas", "absent.txt"), "absent.txt"),
        (("--budget", "3", "--sigmas", "s.txt", "--steps", "9"), "--sigmas is a whole grid"),
        (("--budget", "3", "--sigmas", "s.txt", "--shift", "3"), "--sigmas is a whole grid"),
        (("--budget", "3", "--steps", "9", *PAPER), "metric l1 was not measured on this grid"),
        (("--budget", "3", "--no-such-option"), "no-such-option"),
        (("--budget", "3", "-o", "missing/folder/s.json"), "missing"),
    ],
)
def test_solve_refuses_bad_input(
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    assert reason in refuse(capsys, "solve", *arguments)
    assert not (cwd / "schedule.json").exists()


def test_solve_refuses_what_is_no_profile(cwd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "meancache.profile.safetensors" in refuse(capsys, "solve", "--budget", "3")
    (cwd / "bad").write_bytes(b"not a profile")
    assert "bad" in refuse(capsys, "solve", "bad", "--budget", "3")
    assert "folder" in refuse(capsys, "solve", str(cwd / "folder"), "--budget", "3")


def test_gains_are_compensated_unless_that_is_declined(
    profile: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for output, more in (("plain.json", ("--no-compensate",)), ("better.json", ())):
        run("solve", str(profile), "--budget", "3", *more, "-o", output)
    plain, better = load_schedule("plain.json"), load_schedule("better.json")
    assert [each.plan.knots for each in plain.plans] == [each.plan.knots for each in better.plans]
    assert plain.plans[0].plan.intervals != better.plans[0].plan.intervals
    assert load_at_runtime("better.json") == better.replayable()
    assert "compensated" in capsys.readouterr().out
    options = "--planner", "pssp", "--predictors", "hold,jvp", "--metric", "l1"
    told = refuse(
        capsys, "solve", str(profile), "--budget", "3", "--weighting", "none", *options,
        "--compensate",
    )  # fmt: skip
    assert "no gains can be fitted of hold and jvp: choose adams" in told
