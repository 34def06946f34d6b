"""The commands on a kit's page: run from nothing but the model, they make the same plans."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from meancache_plan import load_profile, load_schedule, save_profile, save_schedule, solve
from meancache_plan.source import catalog
from tests.commands import PAPER, run
from tests.ship.kits import again, packed, timeless
from tests.tiny_model import OPTIONS as MODEL

PROFILE = "meancache.profile.safetensors"
FINER = ("--steps", "6", "--finer-steps", "12")
GIVEN = ("--schedule", "schedule.json", *MODEL, "--limit", "1")
FLAT = ("--weighting", "width", "--statistic", "quantile:0.9", "--max-edge", "3")
REFINE = ("refine", "--model", "model", "--recipe", "tiny.toml")


@pytest.fixture
def many(model: Path, cwd: Path) -> Path:
    """A folder with a tiny pipeline and its recipe, of three calibration prompts."""
    (cwd / "fit.txt").write_text("a cat\na dog\na fish\n")
    return cwd


def made_again(folder: Path, lines: list[list[str]]) -> Path:
    """The kit that these lines make in a folder that holds no more than one begins with."""
    for file in folder.iterdir():
        if file.name not in ("model", "tiny.toml", "fit.txt", "few.txt", "held.txt"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    for line in lines:
        run(*line)
    return folder / "release"


@pytest.mark.parametrize(
    ("calibrate", "solving", "refine", "pack"),
    [
        ((), (*PAPER, "--gamma", "1.5"), None, GIVEN),
        ((), (*FLAT, "--predictors", "hold,fitted", "--order", "3"), None, GIVEN),
        ((), (), REFINE, GIVEN),
        ((), ("--no-compensate",), None, GIVEN),
        ((), ("--predictors", "hold,adams", "--compensate"), None, GIVEN),
        (("--steps", "6"), (), None, GIVEN),
        ((*FINER, "--guidance", "2"), (), (*REFINE, "--limit", "2"), (PROFILE, *GIVEN)),
        (
            ("--max-edge", "3", "--no-propagation"),
            None,
            None,
            (*MODEL, "--no-refine", "--limit", "1"),
        ),
        (FINER, None, None, (*MODEL, "--limit", "2")),
        (("--prompts", "few.txt"), ("--shift", "2.9", "--no-reliability"), None, GIVEN),
        ((), ("--steps", "6"), None, GIVEN),
    ],
)
def test_the_lines_on_the_page_make_the_same_plans(
    many: Path,
    calibrate: tuple[str, ...],
    solving: tuple[str, ...] | None,
    refine: tuple[str, ...] | None,
    pack: tuple[str, ...],
) -> None:
    (many / "few.txt").write_text("an ox\na fox\n")
    run("calibrate", "model", "--recipe", "tiny.toml", *calibrate)
    refined = refine is not None or (solving is None and "--no-refine" not in pack)
    budget = ("--budget", "3" if refined else "3,4")
    if solving is not None:
        run("solve", *budget, *solving)
    if refine is not None:
        run(*refine)
    run("pack", *pack, *(budget if solving is None else ()), "-o", "release")
    first = timeless(packed(many / "release"))
    lines = again((many / "release" / "MEANCACHE.md").read_text())
    made = ["calibrate", "solve", *["refine"] * refined]
    assert [line[0] for line in lines] == [*made, "pack"]
    assert timeless(packed(made_again(many, lines))) == first


def test_the_page_of_the_shipped_schedule_repeats_what_makes_it(cwd: Path) -> None:
    source = catalog.schedule_files()["reference/50-steps"]
    run("pack", "--schedule", str(source), "-o", "release")
    calibrate, solve, refine, pack = again((cwd / "release" / "MEANCACHE.md").read_text())
    profile = "model.profile.safetensors"
    budget = ["--budget", ",".join(map(str, load_schedule(source).budgets))]
    refining = ["--batch", "16", "--limit", "64"]
    assert calibrate == ["calibrate", "reference", "--batch", "16", "-o", profile]
    assert solve == ["solve", profile, *budget, "-o", "schedule.json"]
    model = ["--model", "reference", "--profile", profile]
    assert refine == ["refine", "schedule.json", *model, *refining]
    assert pack == ["pack", "--schedule", "schedule.json", *budget, "-o", "release"]
    makefile = " ".join((Path(__file__).parents[2] / "Makefile").read_text().split())
    assert f"SHIPPED := {budget[1]} " in makefile
    assert "calibrate --batch 16 --runs build/reference.runs" in makefile, (
        "where runs lie is not noted"
    )
    assert "refine $(REFERENCE) --model reference --limit 64 --batch 16" in makefile


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


def packed_lines(folder: Path, *pack: str) -> list[list[str]]:
    run("pack", *pack, "-o", "release")
    return again((folder / "release" / "MEANCACHE.md").read_text())


def test_some_of_a_schedule_s_budgets_are_named(many: Path) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3,4,5")
    lines = packed_lines(many, "--schedule", "schedule.json", "--budget", "3,5")
    assert lines[-1][:5] == ["pack", "--schedule", "schedule.json", "--budget", "3,5"]
    once_more = packed_lines(many, "--schedule", "release/meancache_schedule.json")
    assert once_more == lines


def test_of_files_the_names_are_noted_and_not_where_they_lie(many: Path) -> None:
    (many / "secret").mkdir()
    for name in ("tiny.toml", "fit.txt"):
        shutil.copy(many / name, many / "secret" / name)
    recipe = str(many / "secret" / "tiny.toml")
    run("calibrate", "model", "--recipe", recipe, "--prompts", "./secret/fit.txt")
    run("solve", "--budget", "3")
    assert b"secret" not in (many / "schedule.json").read_bytes()
    calibrate = packed_lines(many, "--schedule", "schedule.json")[0]
    assert calibrate[2:-2] == ["--prompts", "fit.txt", "--recipe", "tiny.toml"]


def test_where_and_in_how_many_parts_samples_were_made_is_not_noted(many: Path) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml", "--device", "cpu", "-o", "whole")
    run("calibrate", "model", "--recipe", "tiny.toml", "--dtype", "float32", "-o", "whole")
    for part in ("1/2", "2/2"):
        run("calibrate", "model", "--recipe", "tiny.toml", "--shard", part, "-o", part[0])
    run("merge", "1", "2", "-o", "merged")
    for profile in ("whole", "merged"):
        run("solve", profile, "--budget", "3", "-o", f"{profile}.json")
    assert (many / "whole.json").read_bytes() == (many / "merged.json").read_bytes()
    run("solve", "1", "--budget", "3")
    assert packed_lines(many, "--schedule", "whole.json")
    assert not packed_lines(many, "--schedule", "schedule.json"), "half of the samples"


def test_plans_that_no_command_made_have_no_lines(many: Path) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3", "-o", "solved.json")
    assert packed_lines(many, "--schedule", "solved.json")
    profile = load_profile(many / PROFILE)
    save_schedule(solve(profile, [3]), many / "schedule.json")
    assert not packed_lines(many, "--schedule", "schedule.json")
    unnoted = profile.settings.model_copy(update={"command": None})
    save_profile(replace(profile, settings=unnoted), many / PROFILE)
    run("solve", "--budget", "3")
    assert not packed_lines(many, "--schedule", "schedule.json")
    run(*REFINE)
    assert not packed_lines(many, "--schedule", "schedule.json")


def test_arguments_that_are_too_long_to_note_are_no_error(many: Path) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", ",".join("3" * 600))
    assert not packed_lines(many, "--schedule", "schedule.json")
