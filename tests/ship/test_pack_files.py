"""``pack`` writes its files together: what is in the folder when it fails, and what it refuses."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from meancache_plan import load_schedule
from meancache_plan.files.journal import within
from meancache_plan.source.diffusers.pipeline import Pipeline
from tests.commands import refuse, run
from tests.files.failures import contents, failing
from tests.ship.kits import FILES, packed
from tests.tiny_model import OPTIONS as MODEL

NO_SPACE = OSError(28, "No space left on device")


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "meancache_schedule.json").read_bytes()).hexdigest()


def test_both_pages_tell_which_schedule_they_are_about(profile: Path, cwd: Path) -> None:
    run("pack", "--budget", "3", "-o", "release")
    first = sha256(cwd / "release")
    pages = [(cwd / "release" / name).read_text() for name in FILES if not name.endswith("json")]
    assert [first in page for page in pages] == [True, True]
    run("pack", "--budget", "5", "-o", "release")
    assert sha256(cwd / "release") != first
    pages = [(cwd / "release" / name).read_text() for name in FILES if not name.endswith("json")]
    assert [sha256(cwd / "release") in page for page in pages] == [True, True]


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_kit_is_all_new_or_as_it_was(
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    run("pack", "--budget", "3", "-o", "release")
    before = contents(cwd / "release")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(call, NO_SPACE, os.replace))
        assert "No space left" in refuse(capsys, "pack", "--budget", "5", "-o", "release")
    assert contents(cwd / "release") == before
    run("pack", "--budget", "5", "-o", "release")
    after = contents(cwd / "release")
    assert after.keys() == FILES
    assert all(after[name] != before[name] for name in FILES)


def test_a_kit_that_cannot_be_written_costs_no_sample_twice(
    calibrated: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("pack", *MODEL, "--no-refine", "--budget", "3", "-o", "release")
    write = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).parent.name == "release":
            raise NO_SPACE
        write(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert "No space left" in refuse(capsys, *command)
    assert list((calibrated / "release").iterdir()) == [within(calibrated / "release")]
    monkeypatch.setattr(Pipeline, "generate", None)
    run(*command)
    assert contents(calibrated / "release").keys() == FILES


@pytest.fixture
def shut(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing can be made or removed, by root neither, with a model's in it."""
    parent = cwd / "shut"
    (parent / "model").mkdir(parents=True)
    access, opened = os.access, os.open

    def refuse_in(path: Any) -> None:
        if Path(path).parent == parent:
            raise PermissionError(13, "Permission denied", str(path))

    def guarded(make: Any) -> Any:
        def checked(path: Any, *arguments: Any, **named: Any) -> Any:
            refuse_in(path)
            return make(path, *arguments, **named)

        return checked

    def create(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            refuse_in(path)
        return opened(path, flags, *arguments, **named)

    def may(path: Any, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and Path(path) == parent)

    for name in ("mkdir", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    monkeypatch.setattr(os, "open", create)
    monkeypatch.setattr(os, "access", may)
    return parent


def test_a_models_folder_is_packed_into_though_nothing_can_be_made_beside_it(
    profile: Path, shut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("pack", "--budget", "3", "-o", "shut/model")
    assert contents(shut / "model").keys() == FILES
    message = refuse(capsys, "pack", "--budget", "3", "-o", "shut/new")
    assert "shut/new: cannot be written" in message


def test_measured_figures_are_not_lost_to_a_kit_without(
    calibrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("pack", *MODEL, "--no-refine", "--budget", "3", "-o", "release")
    run(*command)
    before = contents(calibrated / "release")
    run("solve", "--budget", "3")
    for lossy in (("--budget", "3"), ("--schedule", "schedule.json")):
        message = refuse(capsys, "pack", *lossy, "-o", "release")
        assert "has measured quality, which this kit lacks: measure it with --model" in message
    assert contents(calibrated / "release") == before
    (calibrated / "noted.json").write_bytes(before["meancache_schedule.json"])
    run("pack", "--schedule", "noted.json", "-o", "release")
    assert packed(calibrated / "release") == load_schedule(calibrated / "noted.json")
    run(*command)
    (calibrated / "release" / "meancache_schedule.json").unlink()
    run("pack", "--budget", "3", "-o", "release")
    assert packed(calibrated / "release").plans[0].measured is None
