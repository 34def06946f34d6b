"""Files that are written whole, alone or together: what is there when something fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable, write_atomically, write_together
from tests.files.failures import contents, failing

NAMES = ("a.html", "b.md", "c.json")


@pytest.mark.parametrize("there", [(), NAMES[:1], NAMES])
def test_files_that_are_written_together_are_all_there(
    tmp_path: Path, there: tuple[str, ...]
) -> None:
    for name in there:
        (tmp_path / name).write_bytes(b"old")
    write_together({tmp_path / name: name.encode() for name in NAMES})
    assert contents(tmp_path) == {name: name.encode() for name in NAMES}
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o644}


@pytest.mark.parametrize("there", [(), NAMES[:1], NAMES[1:], NAMES])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["replace", "fsync", "chmod"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_whichever_write_fails_the_old_files_stay_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: tuple[str, ...],
    error: BaseException,
    where: str,
    call: int,
) -> None:
    for name in there:
        (tmp_path / name).write_bytes(b"old " + name.encode())
        (tmp_path / name).chmod(0o640)
    before = contents(tmp_path)
    monkeypatch.setattr(os, where, failing(call, error, getattr(os, where)))
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        write_together({tmp_path / name: b"new" for name in NAMES})
    assert contents(tmp_path) == before
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} <= {0o640}


def test_an_interruption_after_the_last_rename_leaves_all_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = os.replace, [0]

    def late(*args: Any) -> None:
        original(*args)
        calls[0] += 1
        if calls[0] == len(NAMES):
            raise KeyboardInterrupt

    for name in NAMES:
        (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(os, "replace", late)
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / name: b"new" for name in NAMES})
    assert contents(tmp_path) == dict.fromkeys(NAMES, b"new")


def test_a_missing_directory_is_refused_by_the_files_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none/a\.json: cannot be written"):
        write_atomically(tmp_path / "none" / "a.json", b"")


def test_what_is_read_is_not_replaced_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("hours of work")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    for output in ("in", "alias"):
        with pytest.raises(InputError, match="is one of the inputs, and would be overwritten"):
            check_writable(tmp_path / output, (None, tmp_path / "absent", tmp_path / "in"))
    check_writable(tmp_path / "out", (tmp_path / "in",))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name here")
def test_what_is_no_file_is_never_replaced_by_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, Path(os.devnull)):
        for write in (check_writable, lambda path: write_atomically(path, b"")):
            with pytest.raises(InputError, match=f"{place}: is a device or a pipe"):
                write(place)
    assert pipe.is_fifo()
    assert Path(os.devnull).is_char_device()


def test_a_name_may_be_as_long_as_a_files_and_no_longer(tmp_path: Path) -> None:
    most = os.pathconf(tmp_path, "PC_NAME_MAX")
    check_writable(tmp_path / ("n" * most))
    write_atomically(tmp_path / ("n" * most), b"n")
    assert contents(tmp_path) == {"n" * most: b"n"}
    for inputs in ((), (tmp_path / ("i" * 5000),)):
        with pytest.raises(InputError, match="File name too long: give a shorter one"):
            check_writable(tmp_path / ("n" * (most + 1)), inputs)
    check_writable(tmp_path / "out", (tmp_path / ("i" * 5000),))
