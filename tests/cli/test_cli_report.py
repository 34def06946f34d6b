"""``evaluate --samples`` and ``report``, as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import refuse, run


def test_a_report_is_written_from_what_an_evaluation_leaves(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3,5")
    options = ("model", "--recipe", "tiny.toml", "--schedule", "schedule.json")
    run("evaluate", *options, "--samples", "judged", "--record")
    run("report", "--samples", "judged", "--profile", "meancache.profile.safetensors")
    page = (cwd / "report.html").read_text()
    data = json.loads(page.partition('type="application/json">')[2].partition("</script>")[0])
    assert {entry["prompt"] for entry in data["pictures"]["entries"]} == {"an owl", "a cow"}
    methods = {row["method"] for row in data["figures"]["rows"]}
    assert methods == {"plan", "uniform-hold", "uniform-adams", "fewer-steps"}
    assert data["heat"]["side"] == 8
    assert "report.html: 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("absent.json",), "absent.json"),
        (("-o", "report.pdf"), "ends in .html"),
        (("-o", "missing/report.html"), "missing"),
        (("--samples", "absent"), "evaluate --samples"),
        (("--evaluation", "absent.json"), "evaluate --json"),
        (("--evaluation", "schedule.json"), "schedule.json"),
        (("--profile", "absent"), "absent"),
    ],
)
def test_report_refuses_bad_input(
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    run("solve", "--budget", "3")
    capsys.readouterr()
    assert reason in refuse(capsys, "report", *arguments)
    assert not (cwd / "report.html").exists()
