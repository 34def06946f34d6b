"""``meancache-plan compare`` on a tiny pipeline, end to end."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from meancache_plan.cli.other_schedules import load_rivals
from meancache_plan.judge.compare import sweep
from meancache_plan.judge.compare.sweep import QUICK, Extrapolating, Skipping, WarmingUp
from meancache_plan.judge.findings import Comparison
from meancache_plan.schedule.artifact import save_schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from tests.commands import refuse, run
from tests.judge.tiny_comparison import SCHEDULE, STEPS, comparison
from tests.tiny import tiny_flux
from tests.tiny_model import write_model


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a tiny pipeline, its recipe and prompts, a schedule and a rival."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path, tiny_flux(), STEPS)
    save_schedule(SCHEDULE, tmp_path / "schedule.json")
    save_schedule(SCHEDULE, tmp_path / "rival.json")
    return tmp_path


WITHOUT_CACHES = replace(
    QUICK,
    first_block=(),
    mag=Skipping((), ()),
    taylor=Extrapolating((), ()),
    taylor_lite=Extrapolating((), ()),
    sea=Skipping((), ()),
    attention=(),
    dual_block=WarmingUp((), ()),
)
"""Plans, fewer steps and solvers."""

COMMAND = ("compare", "model", "--recipe", "tiny.toml", "--quick")


def test_everyone_competes_and_the_figures_are_written(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--json", "c.json", "--csv", "c.csv", "--plot", "c.png")
    run(*COMMAND, "--against", "rival.json", "--limit", "1", *files)
    found = Comparison.model_validate_json((cwd / "c.json").read_bytes())
    assert (found.prompts, found.steps, found.calls_per_step) == (1, STEPS, 1)
    peers = {row.method for row in found.measured()}
    assert peers >= {"plan", "rival", "fewer steps, Euler", "Heun", "DPM-Solver++", "UniPC"}
    assert peers >= {"FirstBlockCache", "MagCache", "TaylorSeer", "TaylorSeer lite", "SeaCache"}
    assert peers >= {"PAB", "FasterCache"}
    same = [
        row.figure("psnr_latent").samples
        for row in found.measured()
        if row.method in ("plan", "rival") and row.budget == 3
    ]
    assert same[0] == same[1]
    lines = list(csv.DictReader((cwd / "c.csv").open()))
    assert [line["method"] for line in lines] == [row.method for row in found.rows]
    assert min(Image.open(cwd / "c.png").size) > 500
    assert not (cwd / "c.json.unfinished").exists()
    assert "best setting of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--schedule", "absent.json"), "absent.json"),
        (("--against", "short.json"), "5 steps"),
        (("--against", "plan.json"), "rename"),
        (("--json", "missing/c.json"), "missing"),
        (("--plot", "c.pdf"), "c.pdf"),
        (("--prompts", "fit.txt"), "disjoint"),
    ],
)
def test_bad_input_is_one_message(
    cwd: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], reason: str
) -> None:
    content = json.loads((cwd / "schedule.json").read_text())
    (cwd / "plan.json").write_text(json.dumps(content))
    short = {"budget": 2, "knots": [0, 2], "intervals": [{"predictor": "hold"}] * 2}
    short |= {"cost": None, "innovation": None, "measured": None, "also": []}
    grid = content["grid"] | {"steps": 5}
    (cwd / "short.json").write_text(json.dumps(content | {"grid": grid, "plans": [short]}))
    assert reason in refuse(capsys, *COMMAND, *options)


def test_a_rival_for_another_model_is_refused_by_its_file_before_anything_runs(
    cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "generate", lambda *_, **__: pytest.fail("a sample is made"))
    other = SCHEDULE.model_copy(update={"model": comparison().model})
    save_schedule(other, cwd / "other.json")
    message = refuse(capsys, *COMMAND, "--against", "rival.json", "--against", "other.json")
    assert "--against other.json: the schedule was compiled for tiny" in message
    assert "another denoiser" in message
    assert "leave this rival out" in message


def test_a_schedule_for_another_model_is_not_blamed_on_its_rival(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = SCHEDULE.model_copy(update={"model": comparison().model})
    save_schedule(other, cwd / "schedule.json")
    save_schedule(other, cwd / "rival.json")
    message = refuse(capsys, *COMMAND, "--against", "rival.json")
    assert "another denoiser" in message
    assert "rival" not in message


def test_rivals_of_one_file_name_go_by_their_folders(cwd: Path) -> None:
    for folder in ("old", "new"):
        (cwd / folder).mkdir()
        save_schedule(SCHEDULE, cwd / folder / "plans.json")
    files = [Path("old/plans.json"), cwd / "new" / "plans.json", Path("rival.json")]
    assert load_rivals(files) == dict.fromkeys(("old/plans", "new/plans", "rival"), SCHEDULE)


def test_mean_caches_own_plans_compete_if_there_is_a_profile(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "QUICK", WITHOUT_CACHES)
    run("calibrate", "model", "--recipe", "tiny.toml", "-o", "p.safetensors")
    files = ("--profile", "p.safetensors", "--limit", "1", "--json", "c.json")
    run(*COMMAND, *files)
    peers = {
        row.method
        for row in Comparison.model_validate_json((cwd / "c.json").read_bytes()).measured()
    }
    assert peers >= {"plan", "paper", "released"}


def test_names_that_would_mix_two_methods_are_refused(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a/new", "b/new"):
        (cwd / folder).mkdir(parents=True)
        save_schedule(SCHEDULE, cwd / folder / "rival.json")
    alike = ("--against", "a/new/rival.json", "--against", "b/new/rival.json")
    twice = refuse(capsys, *COMMAND, *alike)
    assert "--against b/new/rival.json: two schedules are named new/rival: rename one" in twice
    save_schedule(SCHEDULE, cwd / "UniPC.json")
    taken = refuse(capsys, *COMMAND, "--against", "UniPC.json", "--limit", "1")
    assert "a rival schedule cannot be named 'UniPC'" in taken
