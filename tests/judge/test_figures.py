"""The registry of figures: what is in it reaches every table, chart, page and file by itself."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from diffusers import FluxPipeline
from rich.console import Console

from meancache_plan.judge.evaluate import evaluate
from meancache_plan.judge.figures import FIGURES, Figure, measured, qualities
from meancache_plan.judge.findings import load_evaluation
from meancache_plan.show.comparison_files import to_csv
from meancache_plan.show.evaluation_files import write_evaluation
from meancache_plan.show.page.figure_data import figure_data
from meancache_plan.show.terminal.evaluation_table import evaluation_table
from tests.judge.tiny_comparison import PROMPT, SCHEDULE, SEED, tiny_pipeline

TOY = Figure(
    "brightest",
    "brightest pixel",
    "top",
    lambda seen: float(seen.made.frames.max()),
    digits=2,
    higher=True,
)


def test_a_figure_that_is_registered_is_measured_and_shown_everywhere(
    tiny_flux: FluxPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FIGURES, TOY.name, TOY)
    pipeline = tiny_pipeline(tiny_flux)
    expected = float(pipeline.generate(PROMPT, SEED).frames.max())
    found = evaluate(pipeline, SCHEDULE, [PROMPT], [SEED], budgets=[3])
    assert found.rows[0].mean(TOY.name) == expected

    write_evaluation(found, json_file=tmp_path / "e.json", plot=tmp_path / "e.png")
    row = json.loads((tmp_path / "e.json").read_text())["rows"][0]
    assert row["figures"][TOY.name]["samples"] == [expected]
    assert load_evaluation(tmp_path / "e.json").rows == found.rows

    line = next(csv.DictReader(io.StringIO(to_csv(found.rows))))
    assert [float(line[TOY.name + end]) for end in ("", "_low", "_worst")] == [expected] * 3

    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(evaluation_table(found))
    plan = found.row("plan", 3).mean(TOY.name)
    text = console.export_text()
    assert " top" in text
    assert f"{plan:.2f}" in next(line for line in text.splitlines() if line.startswith("plan"))

    data = figure_data(SCHEDULE, found)
    assert data is not None
    assert data["kinds"][-1] == {
        "key": TOY.name, "label": TOY.label, "unit": "", "digits": 2, "higher": True,
    }  # fmt: skip
    assert data["rows"][0]["quality"][TOY.name]["mean"] == plan


def test_lpips_is_measured_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meancache_plan.judge.likeness.load_lpips", lambda: None)
    names = {figure.name for figure in measured()}
    assert {figure.name for figure in measured(lpips=True)} - names == {"lpips"}
    assert FIGURES.keys() - names == {"lpips"}


def test_qualities_come_in_the_order_of_the_registry_and_costs_are_none() -> None:
    found = [figure.name for figure in qualities({"seconds", "flip", "calls", "psnr_latent"})]
    assert found == ["psnr_latent", "flip"]
