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
from meancache_plan.files.lock import alone, alone_in
from tests.commands import refuse, run

HOLD = (
    "import sys, pathlib, meancache_plan.files.lock as lock\n"
    "with getattr(lock, sys.argv[2])(pathlib.Path(sys.argv[1])):\n"
    "    print(flush=True)\n    sys.stdin.read()\n"
)
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def holder(cwd: Path) -> Iterator[Holder]:
    """Starts processes that are at work on an output."""
    started: list[subprocess.Popen[str]] = []

    def start(output: str, how: str = "alone") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, output, how]
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
    options = ["calibrate", "model", "--recipe", "tiny.toml", "--seeds", "0-39", "-o", "p"]
    command = [sys.executable, "-m", "meancache_plan", *options]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(cwd.glob("p.partial/0*.safetensors")) and running.poll() is None:
        time.sleep(0.01)
    assert "p: another run is writing it" in refuse(capsys, *options)
    assert running.poll() is None, "the first run ended before the second"
    running.send_signal(signal.SIGKILL)
    running.wait()
    run(*options)
    assert load_profile(cwd / "p").samples == 80
    assert not list(cwd.glob("p.*"))


@pytest.mark.parametrize(
    ("output", "arguments"),
    [
        ("p", ("calibrate", "model", "--recipe", "tiny.toml", "-o", "p")),
        ("s.json", ("refine", "--model", "model", "-o", "s.json")),
        ("e.json", ("evaluate", "model", "--recipe", "tiny.toml", "--json", "e.json")),
        ("judged", ("evaluate", "model", "--recipe", "tiny.toml", "--samples", "judged")),
        ("c.json", ("compare", "model", "--recipe", "tiny.toml", "--json", "c.json")),
        ("kit", ("pack", "--budget", "3", "-o", "kit")),
    ],
)
def test_every_command_that_keeps_work_is_refused_while_another_runs(
    model: Path,
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    holder: Holder,
    output: str,
    arguments: tuple[str, ...],
) -> None:
    run("solve", "--budget", "3")
    first = holder(output)
    before = set(cwd.rglob("*"))
    assert f"{output}: another run is writing it" in refuse(capsys, *arguments)
    assert set(cwd.rglob("*")) == before
    first.communicate("")
    assert first.returncode == 0
    assert set(cwd.rglob("*")) == before - {cwd / f"{output}.lock"}


def test_outputs_do_not_wait_for_each_other_and_a_killed_run_for_nobody(
    cwd: Path, holder: Holder
) -> None:
    first = holder("a")
    with alone(cwd / "b"), pytest.raises(InputError, match="another run"), alone(cwd / "a"):
        pytest.fail("two runs at once")
    first.kill()
    first.communicate()
    assert (cwd / "a.lock").exists()
    with alone(cwd / "a"):
        pass
    assert not (cwd / "a.lock").exists()


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
    first = holder("kit", "alone_in")
    assert "kit: another run is writing it" in refuse(capsys, "pack", "--budget", "3", "-o", "kit")
    first.communicate("")
    run("pack", "--budget", "3", "-o", "kit")
    assert len(list((cwd / "kit").iterdir())) == 3
    assert {file.name for file in cwd.iterdir()} == {profile.name, "kit"}


@pytest.mark.parametrize("shut_out", ["the first", "the second"])
def test_who_may_write_in_the_folder_alone_meets_who_may_write_beside_it(
    cwd: Path, holder: Holder, shut_out: str
) -> None:
    (cwd / "kit").mkdir()
    if shut_out == "the first":
        (cwd / "kit.lock").mkdir()  # nobody can make a file there
        first = holder("kit", "alone_in")
        (cwd / "kit.lock").rmdir()
    else:
        first = holder("kit", "alone_in")
        (cwd / "kit.lock").unlink()
        (cwd / "kit.lock").mkdir()
    with pytest.raises(InputError, match="another run"), alone_in(cwd / "kit"):
        pytest.fail("two runs at once")
    first.communicate("")
    assert list((cwd / "kit").iterdir()) == []
