"""``recipes`` lists what is bundled and shows one as it is written; ``solve`` knows its budgets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from meancache_plan import load_profile, load_schedule, save_profile
from meancache_plan.schedule.artifact import ModelIdentity
from meancache_plan.source import catalog
from tests.commands import refuse, run, write_profile


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


def of_model(path: Path, name: str) -> None:
    """Let a profile be of this model."""
    found = load_profile(path)
    empty = dict.fromkeys(("revision", "fingerprint", "pipeline", "scheduler"))
    identity = ModelIdentity(id=name, adapters=(), **empty)
    settings = found.settings.model_copy(update={"model": identity})
    save_profile(replace(found, settings=settings), path)


def test_solve_compiles_the_recipe_s_budgets_if_nothing_else_is_asked_for(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_profile(cwd, 28)
    of_model(path, "someone/else")
    assert "for someone/else at 28 steps: give exactly one of" in refuse(capsys, "solve")
    of_model(path, "stabilityai/stable-diffusion-3.5-large")
    run("solve")
    made = load_schedule(cwd / "schedule.json")
    left_out = made.provenance.pruned if made.provenance is not None else ()
    assert sorted([*made.budgets, *(entry.budget for entry in left_out)]) == [6, 8, 10, 14]
    assert "budgets 6,8,10,14: those of the recipe" in capsys.readouterr().out
