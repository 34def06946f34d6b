"""The lines of a kit's page that make it again: run from nothing but the model, they do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meancache_plan import load_profile, load_schedule
from meancache_plan.source import catalog
from tests.commands import PAPER, run
from tests.ship.test_pack import MODEL, again, packed, timeless

PROFILE = "meancache.profile.safetensors"
FINER = ("--steps", "6", "--finer-steps", "12")
GIVEN = ("--schedule", "schedule.json", *MODEL, "--limit", "1")
FLAT = ("--weighting", "displacement", "--statistic", "quantile:0.9", "--max-edge", "3")
REFINE = ("refine", "--model", "model", "--recipe", "tiny.toml")


@pytest.fixture
def many(model: Path, cwd: Path) -> Path:
    """A folder with a tiny pipeline and its recipe, of five calibration prompts."""
    (cwd / "fit.txt").write_text("a cat\na dog\na fish\na hen\nan elk\n")
    return cwd


def made_again(folder: Path, lines: list[list[str]]) -> Path:
    """The kit that these lines make in a folder that holds no more than one begins with."""
    for file in folder.iterdir():
        if file.name not in ("model", "tiny.toml", "fit.txt", "held.txt"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    for line in lines:
        run(*line)
    return folder / "release"


@pytest.mark.parametrize(
    ("calibrate", "solve", "refine", "pack"),
    [
        ((), (*PAPER, "--gamma", "1.5"), None, GIVEN),
        ((), (*FLAT, "--predictors", "hold,fitted", "--order", "3"), None, GIVEN),
        ((), (), REFINE, GIVEN),
        (("--steps", "6"), (), None, GIVEN),
        ((*FINER, "--guidance", "2"), (), (*REFINE, "--limit", "2"), (PROFILE, *GIVEN)),
        (
            ("--max-edge", "3", "--no-propagation"),
            None,
            None,
            (*MODEL, "--no-refine", "--limit", "1"),
        ),
        (FINER, None, None, (*MODEL, "--limit", "2")),
    ],
)
def test_the_lines_on_the_page_make_the_same_plans(
    many: Path,
    calibrate: tuple[str, ...],
    solve: tuple[str, ...] | None,
    refine: tuple[str, ...] | None,
    pack: tuple[str, ...],
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml", *calibrate)
    budget = ("--budget", "3,4")
    if solve is not None:
        run("solve", *budget, *solve)
    if refine is not None:
        run(*refine)
    run("pack", *pack, *(budget if solve is None else ()), "-o", "release")
    first = timeless(packed(many / "release"))
    lines = again((many / "release" / "MEANCACHE.md").read_text())
    made = ["solve"] * (solve is not None) + ["refine"] * (refine is not None)
    assert [line[0] for line in lines] == ["calibrate", *made, "pack"]
    assert timeless(packed(made_again(many, lines))) == first


def test_the_shipped_schedule_is_refined_by_its_page_as_it_was(cwd: Path) -> None:
    source = catalog.schedule_files()["reference/50-steps"]
    run("pack", "--schedule", str(source), "-o", "release")
    calibrate, solve, refine, pack = again((cwd / "release" / "MEANCACHE.md").read_text())
    profile = "model.profile.safetensors"
    assert calibrate == ["calibrate", "reference", "-o", profile]
    budgets = ",".join(map(str, load_schedule(source).budgets))
    assert solve == ["solve", profile, "--budget", budgets, "-o", "schedule.json"]
    limit = ["--limit", "64"]  # as the Makefile has it
    model = ["--model", "reference"]
    assert refine == ["refine", "schedule.json", *model, *limit, "--profile", profile]
    assert pack == ["pack", "--schedule", "schedule.json", "-o", "release"]


def test_both_pages_say_which_plans_were_refined_by_replay(many: Path) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3")
    run(*REFINE)
    for source, words in (("schedule.json", "refined by replay"), ("plain.json", "planned by")):
        run("pack", "--schedule", source, "-o", "release")
        for page in ("MEANCACHE.md", "meancache_report.html"):
            text = (many / "release" / page).read_text()
            assert words in text
            assert ("refined by replay" in text) == (source == "schedule.json")
        run("solve", "--budget", "3", "-o", "plain.json")


def test_both_pages_name_the_profile_that_was_carried_over(many: Path) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    calibrated = load_profile(many / PROFILE).fingerprint
    for grid in ((), ("--steps", "6")):
        run("solve", "--budget", "3", *grid)
        run("pack", "--schedule", "schedule.json", "-o", "release")
        for page in ("MEANCACHE.md", "meancache_report.html"):
            text = (many / "release" / page).read_text()
            assert (f"carried over from {calibrated}" in text) == bool(grid)


@pytest.mark.parametrize(
    ("calibrate", "solve", "pack"),
    [
        ((), ("--steps", "6"), GIVEN),
        ((), ("--shift", "2.9"), GIVEN),
        ((), ("--shift", "2.9"), (PROFILE, *GIVEN)),
        (("--prompts", "few.txt"), (), GIVEN),
        (("--prompts", "others.txt"), (), (PROFILE, *GIVEN)),
        (("--shard", "1/2", "-o", PROFILE), (), GIVEN),
        ((), (), ("--schedule", "schedule.json")),
    ],
)
def test_no_lines_are_better_than_lines_that_make_other_plans(
    many: Path, calibrate: tuple[str, ...], solve: tuple[str, ...], pack: tuple[str, ...]
) -> None:
    (many / "few.txt").write_text("an ox\na fox\n")
    (many / "others.txt").write_text("an ox\na fox\na cat\na dog\na hen\n")
    run("calibrate", "model", "--recipe", "tiny.toml", *calibrate)
    run("solve", "--budget", "3", *solve)
    run("pack", *pack, "-o", "release")
    assert "Make it again" not in (many / "release" / "MEANCACHE.md").read_text()
