"""``evaluate --frechet``: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meancache_plan.judge.frechet import frechet_measurement
from tests.commands import refuse, run
from tests.judge.frechet.colours import Colours


def test_distances_are_printed_and_written(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frechet_measurement, "find_features", lambda pipeline: Colours())
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3")
    options = ("evaluate", "model", "--recipe", "tiny.toml", "--limit", "1")
    refused = refuse(capsys, *options, "--frechet-to", "pictures")
    assert "frechet-to pictures: give the number of samples as well, with frechet" in refused
    refused = refuse(capsys, *options, "--frechet", "6", "--frechet-to", "fit.txt")
    assert "fit.txt: holds no pictures: give a folder of PNG or JPEG files" in refused
    run(*options, "--frechet", "6", "--batch", "3", "--json", "e.json")
    found = json.loads((cwd / "e.json").read_text())["frechet"]
    assert found["samples"] == found["pictures"] == 6
    plan = next(row for row in found["rows"] if row["method"] == "plan")
    assert f"{plan['change']:+.3g}" in capsys.readouterr().out
