"""What is kept of a refinement's work: nothing is computed twice, and nothing is mixed up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from meancache_plan.errors import InputError
from meancache_plan.improve.journal import Journal, forget

SETTINGS: dict[str, Any] = {"tool": "1", "profile": "sha256:ab", "prompts": [0, 0, 1]}


class Work:
    """Computes a value, and counts how often."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return self.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "schedule.json"


def never() -> Any:
    raise AssertionError("computed again")


@pytest.mark.parametrize("value", [[0.1, 1e-300, math.inf], [[[1.0], [0.5, 2]], [3.0]], [], 7])
def test_a_result_is_computed_once_whoever_asks_again(path: Path, value: Any) -> None:
    journal, work = Journal(path, SETTINGS), Work(value)
    assert journal.recall("fit", [1, 2], work) == value
    assert journal.recall("fit", [1, 2], never) == value
    assert Journal(path, SETTINGS).recall("fit", [1, 2], never) == value
    assert work.times == 1


def test_another_stage_or_other_inputs_are_another_result(path: Path) -> None:
    journal = Journal(path, SETTINGS)
    assert journal.recall("fit", [1, 2], Work("a")) == "a"
    assert journal.recall("replay", [1, 2], Work("b")) == "b"
    assert journal.recall("fit", [2, 1], Work("c")) == "c"


def test_wherever_the_file_was_cut_the_whole_lines_count(path: Path) -> None:
    journal = Journal(path, SETTINGS)
    for key in range(3):
        journal.recall("fit", key, Work(key))
    file = journal.folder / "results.jsonl"
    whole = file.read_bytes()
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in [0, *ends, *(end + 1 for end in ends), ends[0] + 20]:
        file.write_bytes(whole[:length])
        again, work = Journal(path, SETTINGS), Work("new")
        found = [again.recall("fit", key, work) for key in range(3)]
        kept = whole[:length].count(b"\n")
        assert found == [*range(kept), *["new"] * (3 - kept)]
        assert [Journal(path, SETTINGS).recall("fit", key, never) for key in range(3)] == found


@pytest.mark.parametrize("garbage", [b"\0\0\0\n", b"[]\n", b'{"key": 1}\n', b"\xff\n"])
def test_what_is_no_result_is_dropped_with_all_that_follows(path: Path, garbage: bytes) -> None:
    journal = Journal(path, SETTINGS)
    journal.recall("fit", 1, Work("a"))
    with (journal.folder / "results.jsonl").open("ab") as stream:
        stream.write(garbage)
    again = Journal(path, SETTINGS)
    assert again.recall("fit", 1, never) == "a"
    assert again.recall("fit", 2, Work("b")) == "b"
    assert Journal(path, SETTINGS).recall("fit", 2, never) == "b"


@pytest.mark.parametrize(
    ("name", "value"), [("profile", "sha256:cd"), ("prompts", [0, 1]), ("tool", "2"), ("new", 1)]
)
def test_another_refinements_folder_is_refused_by_name(path: Path, name: str, value: Any) -> None:
    Journal(path, SETTINGS)
    with pytest.raises(InputError, match=f"another refinement: {name} is .* or delete") as caught:
        Journal(path, {**SETTINGS, name: value})
    assert "schedule.json.refine" in str(caught.value)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make it first"):
        Journal(tmp_path / "nowhere" / "schedule.json", SETTINGS)
    with pytest.raises(InputError, match="is a directory"):
        Journal(tmp_path, SETTINGS)


def test_a_file_in_the_folders_place_is_refused(path: Path) -> None:
    path.with_name("schedule.json.refine").write_text("mine")
    with pytest.raises(InputError, match=r"schedule.json.refine: cannot be used .* delete it"):
        Journal(path, SETTINGS)


def test_unreadable_settings_are_refused(path: Path) -> None:
    folder = Journal(path, SETTINGS).folder
    (folder / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"schedule.json.refine: cannot be used .* delete it"):
        Journal(path, SETTINGS)


def test_nothing_is_left_of_a_forgotten_journal(path: Path, tmp_path: Path) -> None:
    journal = Journal(path, SETTINGS)
    journal.recall("fit", 1, Work("a"))
    forget(path)
    assert list(tmp_path.iterdir()) == []
    forget(path)
