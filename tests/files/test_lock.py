"""One run at a time at work on an output: what a second process is told, and what a killed one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meancache_plan import load_profile
from meancache_plan.errors import InputError
from meancache_plan.files.journal import beside, within
from meancache_plan.files.lock import alone
from tests.commands import refuse, run

HOLD = (
    "import sys, pathlib, meancache_plan.files.lock as lock\n"
    "with lock.alone(pathlib.Path(sys.argv[1])):\n"
    "    print(flush=True)\n    sys.stdin.read()\n"
)
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def holder(cwd: Path) -> Iterator[Holder]:
    """Starts processes that are at work on an output."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(folder)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_calibration_is_refused_until_the_first_ends_by_whatever_means(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["calibrate", "model", "--recipe", "tiny.toml", "--seeds", "0-9", "-o", "p"]
    command = [sys.executable, "-m", "meancache_plan", *options]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(cwd.glob("p.unfinished/sample-*")) and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGSTOP)
    try:
        assert "p.unfinished: another run is at work there" in refuse(capsys, *options)
        assert running.poll() is None, "the first run ended before the second"
    finally:
        running.kill()
        running.wait()
    run(*options)
    assert load_profile(cwd / "p").samples == 20
    assert not beside(cwd / "p").exists()


@pytest.mark.parametrize(
    ("work", "arguments"),
    [
        ("p.unfinished", ("calibrate", "model", "--recipe", "tiny.toml", "-o", "p")),
        ("s.json.unfinished", ("refine", "--model", "model", "-o", "s.json")),
        ("e.json.unfinished", ("evaluate", "model", "--recipe", "tiny.toml", "--json", "e.json")),
        ("judged/meancache.unfinished", ("evaluate", "model", "--samples", "judged")),
        ("c.json.unfinished", ("compare", "model", "--recipe", "tiny.toml", "--json", "c.json")),
        ("kit/meancache.unfinished", ("pack", "--budget", "3", "-o", "kit")),
    ],
)
def test_every_command_that_keeps_work_is_refused_while_another_runs(
    model: Path,
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    holder: Holder,
    work: str,
    arguments: tuple[str, ...],
) -> None:
    run("solve", "--budget", "3")
    first = holder(cwd / work)
    before = set(cwd.rglob("*"))
    assert f"{work}: another run is at work there" in refuse(capsys, *arguments)
    assert set(cwd.rglob("*")) == before
    first.communicate("")
    assert first.returncode == 0
    assert not (cwd / work).exists()


def test_outputs_do_not_wait_for_each_other_and_a_killed_run_for_nobody(
    cwd: Path, holder: Holder
) -> None:
    first = holder(cwd / "a")
    with alone(cwd / "b"), pytest.raises(InputError, match="another run"), alone(cwd / "a"):
        pytest.fail("two runs at once")
    first.kill()
    first.communicate()
    assert (cwd / "a").exists()
    with alone(cwd / "a"):
        pass
    assert list(cwd.iterdir()) == []


def test_a_place_where_no_work_can_be_kept_is_refused(cwd: Path) -> None:
    (cwd / "a").touch()
    with pytest.raises(InputError, match=r"a: cannot be written .*: unfinished work is kept there"):
        alone(cwd / "a").__enter__()


@pytest.mark.parametrize("exists", [True, False])
def test_two_packs_of_one_folder_are_kept_apart_and_leave_no_lock(
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    holder: Holder,
    exists: bool,
) -> None:
    if exists:
        (cwd / "kit").mkdir()
    first = holder(within(cwd / "kit"))
    assert "another run is at work" in refuse(capsys, "pack", "--budget", "3", "-o", "kit")
    first.communicate("")
    run("pack", "--budget", "3", "-o", "kit")
    assert len(list((cwd / "kit").iterdir())) == 3
    assert {file.name for file in cwd.iterdir()} == {profile.name, "kit"}
