"""What is kept of unfinished work: nothing is computed twice, nothing is mixed up, none is half."""

from __future__ import annotations

import gc
import math
import multiprocessing
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal, beside, drop, within
from meancache_plan.files.lock import alone

SETTINGS: dict[str, Any] = {"tool": "1", "prompts": "sha256:ab", "call": {"scale": 2.0, "at": [7]}}
PARTS = 40


class Work:
    """Computes a value, and counts how often."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return self.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return beside(tmp_path / "schedule.json")


def journal(folder: Path, settings: dict[str, Any] = SETTINGS) -> Journal:
    return Journal(folder, settings, "refinement", "choose another file")


def never() -> Any:
    raise AssertionError("computed again")


@pytest.mark.parametrize(
    "value", [[0.1, 1e-300, math.inf], [[[1.0], [0.5, 2]], [3.0]], [], 7, None]
)
def test_a_result_is_computed_once_whoever_asks_again(folder: Path, value: Any) -> None:
    kept, work = journal(folder), Work(value)
    assert kept.recall("fit", [1, 2], work) == value
    assert kept.recall("fit", [1, 2], never) == value
    assert journal(folder).recall("fit", [1, 2], never) == value
    assert work.times == 1


def test_another_stage_or_other_inputs_are_another_result(folder: Path) -> None:
    kept = journal(folder)
    assert kept.recall("fit", [1, 2], Work("a")) == "a"
    assert kept.recall("replay", [1, 2], Work("b")) == "b"
    assert kept.recall("fit", [2, 1], Work("c")) == "c"


def test_a_result_is_the_same_whether_it_was_just_made_or_recalled(folder: Path) -> None:
    first = journal(folder).recall("fit", 1, Work({"gains": (1.0, 2.0)}))
    assert first == journal(folder).recall("fit", 1, never) == {"gains": [1.0, 2.0]}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_come_back_bit_for_bit_whole_or_in_part(folder: Path, dtype: torch.dtype) -> None:
    latents = torch.arange(24).reshape(4, 6).T.to(dtype)  # not contiguous
    tensors = {"latents": latents, "none": torch.empty(0, 3, dtype=dtype)}
    journal(folder).keep("sample", 3, {"seconds": 0.1}, tensors)
    part = journal(folder).find("sample", 3)
    assert part is not None
    assert part.value == {"seconds": 0.1}
    assert part.tensors().keys() == tensors.keys()
    for name, tensor in part.tensors().items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, tensors[name])
    assert torch.equal(part.item("latents", 5), latents[5])


def test_wherever_a_part_was_cut_it_is_done_again(folder: Path) -> None:
    kept = journal(folder)
    file = kept.keep("sample", 3, "value", {"latents": torch.ones(4)}).file
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert kept.find("sample", 3) is None
    for garbage in (b"\0" * len(whole), b"{}", whole + b"\0"):
        file.write_bytes(garbage)
        assert kept.find("sample", 3) is None
    assert kept.keep("sample", 3, "value", {"latents": torch.ones(4)}).file.read_bytes() == whole


def test_a_part_that_is_gone_is_named_with_the_way_out(folder: Path) -> None:
    part = journal(folder).keep("sample", 3, tensors={"latents": torch.ones(4)})
    part.file.unlink()
    with pytest.raises(InputError, match=rf"{part.file.name}: is gone or damaged .*; run again"):
        part.tensors()


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"tool": "2"}, r"tool \(1 there, 2 here\)"),
        ({"call": {"scale": 2.5, "at": [7]}}, r"call\.scale \(2\.0 there, 2\.5 here\)"),
        ({"call": {"scale": 2.0, "at": [7, 8]}}, r"call\.at\[1\] \(absent there, 8 here\)"),
        ({"new": 1}, r"new \(absent there, 1 here\)"),
        ({"prompts": "sha256:cd"}, "prompts"),
    ],
)
def test_work_of_another_run_is_refused_by_what_differs(
    folder: Path, changed: dict[str, Any], difference: str
) -> None:
    journal(folder).keep("fit", 1)
    reason = f"belongs to another refinement, which differs in its {difference}; choose another"
    with pytest.raises(InputError, match=rf"{folder}: {reason} .* or delete {folder.name}$"):
        journal(folder, SETTINGS | changed)


def test_parts_whose_settings_are_lost_are_taken_for_no_others(folder: Path) -> None:
    journal(folder).keep("fit", 1, "a")
    header = folder / "settings.json"
    header.write_bytes(header.read_bytes()[:-9])
    other = journal(folder, SETTINGS | {"tool": "2"})
    assert other.recall("fit", 1, Work("b")) == "b"
    header.unlink()
    assert journal(folder).recall("fit", 1, never) == "a"


def test_nothing_is_made_before_the_first_part(folder: Path) -> None:
    kept = journal(folder)
    assert kept.find("fit", 1) is None
    assert not folder.exists()


@pytest.mark.parametrize("place", ["schedule.json", "nowhere/schedule.json"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "schedule.json.unfinished").write_text("mine")
    with pytest.raises(InputError, match=r"settings.json: cannot be written"):
        journal(beside(tmp_path / place)).keep("fit", 1)


def test_a_journal_without_a_folder_leaves_nothing() -> None:
    kept = Journal()
    kept.keep("fit", 1, tensors={"latents": torch.ones(4)})
    there = kept.folder
    assert len(list(there.iterdir())) == 2
    del kept
    gc.collect()
    assert not there.exists()


def test_nothing_is_left_of_work_that_is_dropped_but_the_lock_of_who_holds_it(
    tmp_path: Path,
) -> None:
    folder = within(tmp_path)
    with alone(folder):
        journal(folder).keep("fit", 1)
        journal(folder / "more").keep("fit", 1)
        drop(folder)
        assert [file.name for file in folder.iterdir()] == ["lock"]
    assert list(tmp_path.iterdir()) == []
    drop(folder)


def fill(folder: Path) -> None:
    """Make every part that is not there, of both kinds in turn."""
    with alone(folder):
        kept = journal(folder)
        for number in range(PARTS):
            if kept.find("sample", number) is None:
                latents = torch.full((1 << 16,), number / 7)
                kept.keep("sample", number, {"number": number}, {"latents": latents})
            kept.recall("figure", number, partial(float, number / 3))


def whole_samples(folder: Path) -> int:
    """How many samples are there, each of which is whole."""
    kept = journal(folder)
    found = [kept.find("sample", number) for number in range(PARTS)]
    for number, part in enumerate(found):
        if part is not None:
            assert part.value == {"number": number}
            assert torch.equal(part.tensors()["latents"], torch.full((1 << 16,), number / 7))
    return sum(part is not None for part in found)


def test_a_run_killed_at_any_moment_leaves_whole_parts_and_ends_on_the_same_bytes(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "whole")
    moments, context = random.Random(0), multiprocessing.get_context("fork")
    folder, killed, partly = tmp_path / "killed", 0, set[int]()
    while True:
        run = context.Process(target=fill, args=(folder,))
        run.start()
        started = len(list(folder.glob("*")))
        while killed < 12 and run.is_alive() and len(list(folder.glob("*"))) < started + 3:
            time.sleep(0.001)
        if killed < 12:
            time.sleep(moments.uniform(0, 0.01))
            run.kill()
        run.join()
        partly.add(whole_samples(folder))
        if run.exitcode == 0:
            break
        assert run.exitcode == -signal.SIGKILL
        killed += 1
    assert len(partly) > 3, "the runs were not killed in the middle"
    parts = [
        {file.name: file.read_bytes() for file in (tmp_path / each).glob("*-*.safetensors")}
        for each in ("whole", "killed")
    ]
    assert len(parts[0]) == 2 * PARTS
    assert parts[1] == parts[0]
