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
from PIL import Image
from typer.main import get_command

from meancache_plan import load_profile, load_schedule, profile_flow, save_profile
from meancache_plan.cli import app
from tests.commands import PAPER, refuse, run
from tests.tiny import SIDE, TEXT_LENGTH

pytestmark = pytest.mark.early(5)

TOLD = re.compile(r"two.png: 3 of 8 steps refreshed \(3 denoiser calls\), picture PSNR (\S+) dB")


def test_the_whole_path_on_a_tiny_pipeline(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3,8")
    run("solve", "--budget", "3,8", *PAPER, "-o", "paper.json")
    options = ("model", "--recipe", "tiny.toml", "--schedule", "schedule.json")
    files = ("--json", "e.json", "--plot", "q.png", "--sheet", "s.png")
    run("evaluate", *options, "--against", "paper.json", *files, "--record")
    rows = json.loads((cwd / "e.json").read_text())["rows"]
    found = {(row["method"], row["budget"]) for row in rows}
    assert found >= {("plan", 3), ("plan", 8), ("paper", 3), ("paper", 8)}
    assert load_schedule(cwd / "schedule.json").plans[0].measured is not None
    capsys.readouterr()
    run("generate", *options, "--budget", "3", "--prompt", "an owl", "-o", "one.png")
    assert "one.png: 3 of 8 steps refreshed (3 denoiser calls)\n" in capsys.readouterr().out
    cached = Image.open(cwd / "one.png")
    assert cached.size == (SIDE, SIDE)
    run("generate", *options, "--budget", "3", "--prompt", "an owl", "--compare", "-o", "two.png")
    said = " ".join(capsys.readouterr().out.split())
    run("generate", *options, "--budget", "8", "--prompt", "an owl", "--compare", "-o", "full.png")
    assert "(8 denoiser calls), the same picture as the full" in capsys.readouterr().out
    run("generate", *options, "--budget", "8", "--prompt", "an owl", "-o", "full.png")
    off = np.asarray(cached, dtype=float) / 255 - np.asarray(Image.open(cwd / "full.png")) / 255
    told = TOLD.search(said)
    assert told is not None
    rounding = 2 / 12 / 255**2  # of both files to whole levels
    assert float(told[1]) == pytest.approx(-10 * np.log10(np.mean(off**2) - rounding), abs=0.5)
    run("show", "schedule.json", "--plot", "t.png")
    run("show", "meancache.profile.safetensors", "--plot", "d.png")
    for name in ("q.png", "s.png", "two.png", "t.png", "d.png"):
        assert Image.open(cwd / name).size > (SIDE, SIDE)


def test_calibrate_options_override_the_recipe(model: Path, cwd: Path) -> None:
    (cwd / "other.txt").write_text("a fish\n")
    options = ("--steps", "5", "--seeds", "1-3", "--prompts", "other.txt", "--guidance", "2")
    run("calibrate", "model", "--recipe", "tiny.toml", *options, "-o", "p")
    found = load_profile(cwd / "p")
    assert (found.steps, found.samples, found.settings.guidance) == (5, 3, {"guidance_scale": 2.0})


def test_shards_are_merged(model: Path, cwd: Path) -> None:
    options = ("model", "--recipe", "tiny.toml")
    run("calibrate", *options, "--shard", "1/2")
    run("calibrate", *options, "--shard", "2/2")
    run("merge", *(f"meancache.profile.{i}-of-2.safetensors" for i in (1, 2)), "-o", "all")
    run("solve", "all", "--budget", "3")
    assert (cwd / "schedule.json").exists()


def test_samples_are_made_some_at_a_time(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("model", "--recipe", "tiny.toml", "--batch")
    run("calibrate", *options, "2", "-o", "p")
    assert load_profile(cwd / "p").settings.batch == 2
    assert "batch" in refuse(capsys, "calibrate", *options, "0", "-o", "q")


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
        (("no/such/model",), "no/such/model: no such folder; give a directory"),
        (("./absent",), "./absent: no such folder"),
        (("absent/",), "absent/: no such folder"),
        (("~absent/model",), "~absent/model: no such folder"),
        (("absent",), "absent: no such folder; give a directory with a model_index.json, a hub id"),
        (("./tiny.toml",), "./tiny.toml: is a file, not a folder"),
        (("no--owner/no--model",), "no--owner/no--model: cannot be loaded as a diffusers pipeline"),
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
        (("model", "-o", "occupied"), "occupied.unfinished"),
        (("model", "--height", "2000000"), "height"),
        (("model", "--guidance", "1e9"), "guidance"),
        (("model", "--recipe", "ours.toml"), "prompt is set"),
        (("model", "--recipe", "long.toml"), "max_sequence_length"),
        (("broken",), "broken"),
        (("broken", "--runs", "tiny.toml"), "tiny.toml: is a file"),
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
    (cwd / "occupied.unfinished").touch()
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
        (("show", "tiny.toml"), "tiny.toml: neither a profile (safetensors) nor a schedule (JSON)"),
        (("show", "empty"), "a file that calibrate or solve wrote"),
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
    (cwd / "empty").touch()
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


def test_every_command_has_help_with_an_example_and_every_option_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, command in get_command(app).commands.items():
        run(name, "--help")
        text = capsys.readouterr().out
        assert re.search(rf"Example: .*meancache-plan\s+{name}", text)
        for option in command.params:
            words = getattr(option, "help", None) or ""
            assert len(words.split()) >= 3, f"{name} --{option.name}: {words!r}"
            assert words[0].isupper(), f"{name} --{option.name}: {words!r}"
            assert words.endswith("."), f"{name} --{option.name}: {words!r}"
