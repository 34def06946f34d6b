"""``recipes`` lists what is bundled and shows one as it is written; ``solve`` knows its budgets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meancache_plan import load_schedule
from meancache_plan.source import catalog
from tests.commands import STEPS, refuse, run


def test_every_bundled_recipe_is_listed_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    run("recipes")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name in catalog.recipe_files():
        assert any(line.startswith(f"{name} ") for line in lines)
    place = next(i for i, line in enumerate(lines) if line.startswith("wan-2.2-t2v-a14b"))
    figures = "wan-2.2-t2v-a14b 40 1280 × 720 × 81 4 50 × 5 8,10,13,16,20"
    assert " ".join(lines[place].split()) == figures
    assert lines[place + 1] == "  Wan-AI/Wan2.2-T2V-A14B-Diffusers, WanPipeline"


def test_the_list_is_there_for_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    run("recipes", "--json")
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(listed) == list(catalog.recipe_files())
    assert listed["wan-2.2-t2v-a14b"] == {
        "name": "wan-2.2-t2v-a14b",
        "model": "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
        "pipeline": "WanPipeline",
        "steps": 40,
        "height": 720,
        "width": 1280,
        "frames": 81,
        "guidance_argument": "guidance_scale",
        "guidance": 4.0,
        "prompts": 50,
        "seeds": 5,
        "budgets": [8, 10, 13, 16, 20],
    }


def test_one_recipe_is_shown_with_its_sources(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("recipes", "z-image")
    assert capsys.readouterr().out == catalog.recipe_files()["z-image"].read_text()
    (cwd / "mine.toml").write_text("# [bold]mine[/bold]\nsteps = 9\n")
    run("recipes", "mine.toml")
    assert capsys.readouterr().out == "# [bold]mine[/bold]\nsteps = 9\n"
    run("recipes", "mine.toml", "--json")
    assert json.loads(capsys.readouterr().out)["steps"] == 9


def test_unknown_and_broken_recipes_are_refused(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no such recipe; give a TOML file, or one of:" in refuse(capsys, "recipes", "nothing")
    (cwd / "bad.toml").write_text("steps = 'many'\n")
    assert "bad.toml: steps" in refuse(capsys, "recipes", "bad.toml")


def test_solve_compiles_the_recipe_s_budgets_if_nothing_else_is_asked_for(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (cwd / "tiny.toml").read_text()
    (cwd / "tiny.toml").write_text(f"budgets = '2,{STEPS - 3}'\n{text}")
    run("calibrate", "model", "--recipe", "tiny.toml")
    assert f"for model at {STEPS} steps: give exactly one of" in refuse(capsys, "solve")
    run("solve", "--refine", "model", "--recipe", "tiny.toml")
    made = load_schedule(cwd / "schedule.json")
    left_out = made.provenance.pruned if made.provenance is not None else ()
    assert sorted([*made.budgets, *(entry.budget for entry in left_out)]) == [2, STEPS - 3]
    assert f"budgets 2,{STEPS - 3}: those of the recipe" in capsys.readouterr().out
