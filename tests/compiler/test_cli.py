"""Every command: what it prints and writes, and how it refuses bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image

from meancache_plan import load_schedule, profile_flow, save_profile
from meancache_plan.cli import app
from tests.compiler.commands import refuse, run
from tests.tiny import SIDE, TEXT_LENGTH

STEPS = 8
PAPER = ("--planner", "pssp", "--predictors", "hold,jvp", "--metric", "l1", "--weighting", "none")


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def profile(cwd: Path) -> Path:
    """A profile of a closed-form flow under the default name."""
    grid = np.linspace(1.0, 0.0, STEPS + 1).tolist()
    noise = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    path = cwd / "meancache.profile.safetensors"
    save_profile(profile_flow(lambda z, sigma: z.tanh() * (1 + sigma), noise, grid), path)
    return path


@pytest.fixture
def model(cwd: Path, tiny_flux: FluxPipeline) -> Path:
    """A tiny pipeline's directory, with a recipe and prompt lists beside it."""
    tiny_flux.save_pretrained(cwd / "model")
    (cwd / "fit.txt").write_text("a cat\na dog\n")
    (cwd / "held.txt").write_text("an owl\na cow\n")
    (cwd / "tiny.toml").write_text(
        f'steps = {STEPS}\nheight = {SIDE}\nwidth = {SIDE}\ndtype = "float32"\nguidance = 1.0\n'
        f"call = {{ max_sequence_length = {TEXT_LENGTH} }}\nseeds = '0'\nheldout_seeds = '9'\n"
        'prompts = "fit.txt"\nheldout_prompts = "held.txt"\n'
    )
    return cwd / "model"


def test_solve_writes_a_schedule_from_the_default_profile(
    profile: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("solve", "--budget", "3,5-6")
    assert [plan.budget for plan in load_schedule(cwd / "schedule.json").plans] == [3, 5, 6]
    assert "schedule.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "budgets"),
    [
        (("--speedup", "2"), [4]),
        (("--min-psnr", "0.1"), [2]),
        (("--budget", "3", *PAPER), [3]),
        (("--budget", "3", "--predictors", "hold,calibrated", "--order", "3"), [3]),
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
        (("--budget", "3", "--all"), "--budget and --all exclude each other"),
        (("--speedup", "2", "--min-psnr", "9"), "--speedup and --min-psnr exclude"),
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
        (("--budget", "3", "--order", "3"), "order 3 is for the predictor calibrated"),
        (("--budget", "3", "--limit", "2"), "need --refine MODEL"),
        (("--budget", "3", "--batch", "2"), "need --refine MODEL"),
        (("--budget", "3", "--recipe", "reference"), "need --refine MODEL"),
        (("--budget", "3", "--device", "cpu"), "need --refine MODEL"),
        (("--budget", "3", "--offload", "model"), "need --refine MODEL"),
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


def test_the_whole_path_on_a_tiny_pipeline(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3,8")
    options = ("model", "--recipe", "tiny.toml", "--schedule", "schedule.json")
    run("solve", "--budget", "3,8", *PAPER, "-o", "paper.json")
    options = (*options, "--against", "paper.json")
    run("evaluate", *options, "--json", "e.json", "--plot", "q.png", "--sheet", "s.png", "--record")
    options = options[:-2]
    rows = json.loads((cwd / "e.json").read_text())["rows"]
    found = {(row["method"], row["budget"]) for row in rows}
    assert found >= {("plan", 3), ("plan", 8), ("paper", 3), ("paper", 8)}
    assert load_schedule(cwd / "schedule.json").plans[0].measured is not None
    run("generate", *options, "--budget", "3", "--prompt", "an owl", "-o", "one.png")
    assert Image.open(cwd / "one.png").size == (SIDE, SIDE)
    run("generate", *options, "--budget", "3", "--prompt", "an owl", "--compare", "-o", "two.png")
    run("show", "schedule.json", "--plot", "t.png")
    run("show", "meancache.profile.safetensors", "--plot", "d.png")
    for name in ("q.png", "s.png", "two.png", "t.png", "d.png"):
        assert Image.open(cwd / name).size > (SIDE, SIDE)


def test_calibrate_options_override_the_recipe(model: Path, cwd: Path) -> None:
    (cwd / "other.txt").write_text("a fish\n")
    options = ("--steps", "5", "--seeds", "1-3", "--prompts", "other.txt", "--guidance", "2")
    run("calibrate", "model", "--recipe", "tiny.toml", *options, "-o", "p")
    from meancache_plan import load_profile

    found = load_profile(cwd / "p")
    assert (found.steps, found.samples, found.settings.guidance) == (5, 3, {"guidance_scale": 2.0})


def test_shards_are_merged(model: Path, cwd: Path) -> None:
    options = ("model", "--recipe", "tiny.toml")
    run("calibrate", *options, "--shard", "1/2")
    run("calibrate", *options, "--shard", "2/2")
    run("merge", *(f"meancache.profile.{i}-of-2.safetensors" for i in (1, 2)), "-o", "all")
    run("solve", "all", "--budget", "3")
    assert (cwd / "schedule.json").exists()


def test_merge_refuses_profiles_of_different_settings(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("model", "--recipe", "tiny.toml")
    run("calibrate", *options, "--shard", "1/2", "-o", "a")
    run("calibrate", *options, "--shard", "2/2", "--steps", "5", "-o", "b")
    assert "sigmas" in refuse(capsys, "merge", "a", "b", "-o", "all")
    assert "absent" in refuse(capsys, "merge", "a", "absent")
    assert not (cwd / "all").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("no/such/model",), "no/such/model"),
        (("model", "--recipe", "no-such-recipe"), "no-such-recipe"),
        (("model", "--prompts", "absent.txt"), "absent.txt"),
        (("model", "--prompts", "empty.txt"), "no prompt"),
        (("model", "--seeds", "1-"), "seeds"),
        (("model", "--steps", "1"), "steps"),
        (("model", "--dtype", "int8"), "dtype"),
        (("model", "--device", "nowhere"), "nowhere"),
        (("model", "--offload", "cloud"), "cloud"),
        (("model", "--shard", "3/2"), "shard"),
        (("model", "--height", "0"), "height"),
        (("model", "--max-edge", "0"), "max_edge"),
        (("model", "-o", "missing/p"), "missing"),
        (("model", "-o", "."), "directory"),
        (("model", "-o", "/proc/p"), "/proc/p"),
        (("model", "-o", "occupied"), "occupied.partial"),
        (("model", "--height", "2000000"), "height"),
        (("model", "--guidance", "1e9"), "guidance"),
        (("model", "--recipe", "ours.toml"), "prompt is set"),
        (("model", "--recipe", "long.toml"), "max_sequence_length"),
        (("broken",), "broken"),
        (("model", "--recipe", "bad.toml"), "colour"),
        (("model", "--recipe", "argument.toml"), "no_such_argument"),
    ],
)
def test_calibrate_refuses_bad_input(
    model: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    (cwd / "empty.txt").write_text("# nothing\n\n")
    (cwd / "bad.toml").write_text('colour = "red"\n')
    recipe = (cwd / "tiny.toml").read_text()
    (cwd / "argument.toml").write_text(recipe.replace("{ ", "{ no_such_argument = 1, "))
    (cwd / "ours.toml").write_text(recipe.replace("{ ", "{ prompt = 'x', "))
    (cwd / "long.toml").write_text(recipe.replace(f"= {TEXT_LENGTH} }}", "= 600 }"))
    (cwd / "occupied.partial").touch()
    (cwd / "broken").mkdir()
    (cwd / "broken" / "model_index.json").write_text("[1]")
    if "--recipe" not in arguments:
        arguments = (*arguments, "--recipe", "tiny.toml")
    assert reason in refuse(capsys, "calibrate", *arguments)
    assert not (cwd / "meancache.profile.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("evaluate", "model", "--schedule", "absent.json"), "absent.json"),
        (("evaluate", "model", "--schedule", "bad.json"), "bad.json"),
        (("evaluate", "model", "--budget", "5"), "5"),
        (("evaluate", "model", "--prompts", "fit.txt"), "disjoint"),
        (("evaluate", "model", "--against", "plan.json"), "'plan'"),
        (("evaluate", "model", "--against", "short.json"), "5 steps"),
        (("evaluate", "model", "--against", "four.json"), "budget 3"),
        (("evaluate", "model", "--json", "missing/e.json"), "missing"),
        (("generate", "model", "--prompt", "x", "--budget", "5"), "5"),
        (("generate", "model"), "--prompt"),
        (("generate", "model", "--prompt", "x", "-o", "out.xyz"), "xyz"),
        (("generate", "model", "--prompt", "x", "-o", "missing/out.png"), "missing"),
        (("show", "absent.json"), "absent.json"),
        (("show", "bad.json"), "bad.json"),
        (("show", "schedule.json", "--plot", "missing/a.png"), "missing"),
        (("show", "schedule.json", "--budget", "5", "--plot", "a.png"), "5"),
        (("show", "schedule.json", "--budget", "0"), "budget 0"),
        (("generate", "model", "--prompt", "x", "--budget", "0"), "budget 0"),
    ],
)
def test_replaying_commands_refuse_bad_input(
    model: Path,
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    run("solve", "--budget", "3")
    (cwd / "bad.json").write_text('{"format": "meancache-schedule", "version": 99}')
    (cwd / "plan.json").write_bytes((cwd / "schedule.json").read_bytes())
    run("solve", "--budget", "4", "-o", "four.json")
    short = profile_flow(lambda z, _: z, torch.ones(1, 4), np.linspace(1, 0, 6).tolist())
    save_profile(short, cwd / "short.profile")
    run("solve", "short.profile", "--budget", "3", "-o", "short.json")
    if arguments[0] != "show":
        arguments = (*arguments, "--recipe", "tiny.toml")
    assert reason in refuse(capsys, *arguments)


def test_a_schedule_of_another_model_is_refused(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3")
    text = (cwd / "schedule.json").read_text()
    (cwd / "schedule.json").write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", text, count=1))
    message = refuse(capsys, "evaluate", "model", "--recipe", "tiny.toml")
    assert "another denoiser" in message


def test_a_refusal_in_a_real_process_is_one_message_and_exit_code_2(cwd: Path) -> None:
    command = [sys.executable, "-m", "meancache_plan", "solve", "--budget", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("meancache-plan: ")
    assert done.stderr.count("\n") == 1


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        run(command.callback.__name__.replace("_", "-"), "--help")
        assert "meancache-plan" in capsys.readouterr().out
