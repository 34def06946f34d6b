"""``start``: plans from a model's name and configurations alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meancache_plan import load_schedule
from meancache_plan.source import catalog
from tests.commands import refuse, run


def test_the_reference_gets_its_recipes_budgets_and_is_known_by_its_denoiser(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("start", "-o", "start.json")
    told = " ".join(capsys.readouterr().out.split())
    made = load_schedule("start.json")
    shipped = load_schedule(catalog.schedule_files()["reference/50-steps"])
    assert made.budgets == shipped.budgets
    assert made.model is not None
    assert shipped.model is not None
    assert made.model.fingerprint == shipped.model.fingerprint
    assert "nobody has calibrated this model" in told
    assert told.endswith("wrote start.json")
    run("show", "start.json")
    assert "nobody has calibrated" in " ".join(capsys.readouterr().out.split())


def test_a_model_with_a_recipe_needs_no_files_and_other_steps_name_their_budgets(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("start", "--recipe", "flux.1-dev", "--steps", "28", "--budget", "7", "-o", "flux.json")
    made = load_schedule("flux.json")
    assert (made.grid.steps, made.budgets) == (28, (7,))
    assert made.model is not None
    named = made.model.id, made.model.pipeline, made.model.fingerprint
    assert named == ("black-forest-labs/FLUX.1-dev", "FluxPipeline", None)
    capsys.readouterr()
    said = refuse(capsys, "start", "--recipe", "flux.1-dev", "--steps", "28")
    assert "give --budget" in said


def test_a_model_that_is_not_at_hand_or_samples_otherwise_is_refused(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refuse(capsys, "start", "owner/unheard-of", "--budget", "8")
    assert "no hub id that is in the local cache" in said
    folder = cwd / "wan"
    folder.mkdir()
    index = {"_class_name": "WanPipeline", "scheduler": ["diffusers", "UniPCMultistepScheduler"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    said = refuse(capsys, "start", "wan", "--budget", "8")
    assert "wan samples with UniPCMultistepScheduler" in said
    (folder / "model_index.json").write_text("{")
    assert "model_index.json" in refuse(capsys, "start", "wan", "--budget", "8")
    assert not (cwd / "schedule.json").exists()


def test_refining_a_starting_plan_is_refused_with_what_to_do(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("start", "--budget", "10", "-o", "start.json")
    capsys.readouterr()
    said = refuse(capsys, "refine", "start.json", "--model", "reference", "-o", "refined.json")
    assert "calibrate the model, and refine what solve makes of that" in said
