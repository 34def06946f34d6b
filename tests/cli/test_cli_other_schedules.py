"""``evaluate --against``: other schedules beside the judged one, and how unfit ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meancache_plan.schedule.artifact import Grid, ModelIdentity, load_schedule, save_schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from tests.commands import STEPS, refuse, run

COMMAND = ("evaluate", "model", "--recipe", "tiny.toml")
OTHER = ModelIdentity(
    id="owner/other",
    revision=None,
    fingerprint="sha256:" + "0" * 64,
    pipeline="OtherPipeline",
    scheduler=None,
    adapters=(),
)


@pytest.fixture
def judged(model: Path, profile: Path, cwd: Path) -> Path:
    """A folder with a model, a schedule of budget 3 for any model, and one of budget 4."""
    run("solve", "--budget", "3")
    run("solve", "--budget", "4", "-o", "four.json")
    return cwd


@pytest.fixture
def no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a sample fails the test."""
    monkeypatch.setattr(Pipeline, "generate", lambda *_, **__: pytest.fail("a sample is made"))


def write_for_another_model(file: Path, source: Path) -> None:
    """The schedule of ``source``, as if it was made for another model."""
    schedule = load_schedule(source)
    save_schedule(schedule.model_copy(update={"model": OTHER}), file)


@pytest.mark.usefixtures("no_samples")
def test_a_rival_without_a_plan_is_refused_by_its_file(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refuse(capsys, *COMMAND, "--against", "four.json")
    assert "--against four.json: the schedule has no plan for budget 3; it has 4" in message


@pytest.mark.usefixtures("no_samples")
def test_a_rival_for_another_model_is_refused_for_that_and_not_for_its_budgets(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_for_another_model(judged / "other.json", judged / "four.json")
    message = refuse(capsys, *COMMAND, "--against", "other.json")
    assert "--against other.json: the schedule was compiled for owner/other" in message
    assert "another denoiser" in message
    assert "leave this rival out" in message
    assert "budget" not in message


def test_a_budget_that_the_judged_schedule_lacks_is_not_blamed_on_a_rival(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refuse(capsys, *COMMAND, "--budget", "4", "--against", "four.json")
    assert "the schedule has no plan for budget 4; it has 3" in message
    assert "four.json" not in message


def test_a_file_that_is_no_schedule_is_refused_before_the_model_is_loaded(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = "meancache.profile.safetensors"
    message = refuse(capsys, "evaluate", "no-such-model", "--against", file)
    assert f"{file}: looks like a profile" in message


def test_rivals_of_one_file_name_have_rows_of_their_own(judged: Path) -> None:
    solved = load_schedule(judged / "schedule.json")
    schedule = solved.model_copy(update={"grid": Grid(steps=STEPS, sigmas=None, tolerance=0.01)})
    save_schedule(schedule, judged / "schedule.json")
    for folder in ("old", "new"):
        (judged / folder).mkdir()
        save_schedule(schedule, judged / folder / "plans.json")
    files = ("--against", "old/plans.json", "--against", "new/plans.json")
    run(*COMMAND, *files, "--limit", "1", "--json", "e.json")
    rows = json.loads((judged / "e.json").read_text())["rows"]
    assert {"old/plans", "new/plans"} <= {row["method"] for row in rows}
