"""Commands that are given the folder of a kit, in place of the schedule's file in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meancache_plan import load_schedule
from tests.commands import refuse, run
from tests.files.failures import contents
from tests.ship.kits import FILES

FILE = "meancache_schedule.json"


@pytest.fixture
def kit(profile: Path, cwd: Path) -> Path:
    """A kit of two budgets, in ``release``."""
    run("pack", "--budget", "3,5", "-o", "release")
    return cwd / "release"


@pytest.mark.parametrize("arguments", [(), ("--budget", "5")])
def test_show_prints_the_same(
    kit: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    shown: list[str] = []
    for source in (kit, kit / FILE):
        capsys.readouterr()
        run("show", str(source), *arguments)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert "8 steps" in shown[0]


def test_report_writes_the_same_page_without_what_was_not_given(kit: Path, cwd: Path) -> None:
    run("report", "release", "-o", "folder.html")
    run("report", f"release/{FILE}", "-o", "file.html")
    page = (cwd / "folder.html").read_text()
    assert page == (cwd / "file.html").read_text()
    data = json.loads(page.partition('type="application/json">')[2].partition("</script>")[0])
    assert (data["pictures"], data["heat"], data["judged"]) == (None, None, False)
    assert f"load_schedule('{FILE}')" in data["usage"][0]["texts"][0]


def test_a_kit_is_packed_onto_itself_with_fewer_budgets(kit: Path, cwd: Path) -> None:
    before = load_schedule(kit)
    run("pack", "--schedule", "release", "--budget", "5", "-o", "release")
    assert load_schedule(kit).plans == before.plans[1:]
    assert contents(kit).keys() == FILES


def test_evaluate_judges_it_and_notes_the_figures_in_it(model: Path, cwd: Path) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("pack", "--budget", "3", "-o", "release")
    command = ("evaluate", "model", "--recipe", "tiny.toml", "--limit", "1", "--record")
    run(*command, "--schedule", "release")
    measured = load_schedule(cwd / "release").plans[0].measured
    assert measured is not None
    assert measured.samples == 1
    assert contents(cwd / "release").keys() == FILES


@pytest.mark.parametrize(
    "command",
    [
        ("show", "empty"),
        ("report", "empty"),
        ("evaluate", "--schedule", "empty"),
        ("pack", "--schedule", "empty"),
    ],
)
def test_a_folder_without_a_schedule_and_a_path_to_nothing_are_told_apart(
    cwd: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    (cwd / "empty").mkdir()
    message = refuse(capsys, *command)
    assert f"empty: this folder holds no {FILE}: give the path" in message
    message = refuse(capsys, *command[:-1], "owner/none")
    assert "owner/none: cannot be read (No such file or directory); give" in message
