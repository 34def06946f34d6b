"""What a command says while it works, where nobody draws bars."""

from __future__ import annotations

import pytest

from meancache_plan.show.terminal.console import Lines, watching


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(
    capsys: pytest.CaptureFixture[str], total: int, reports: list[tuple[float, int]]
) -> list[str]:
    """The lines written for (seconds, done)."""
    clock = Clock()
    lines = Lines("judging", clock)
    for seconds, done in reports:
        clock.now = 100.0 + seconds
        lines(done, total)
    streams = capsys.readouterr()
    assert streams.out == ""
    return streams.err.splitlines()


def test_slow_work_writes_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, 1000, [(3.0 * i, i) for i in range(1, 15)])
    assert found == [
        "judging: 4 of 1000, 0:00:12, about 0:49:48 left",
        "judging: 8 of 1000, 0:00:24, about 0:49:36 left",
        "judging: 12 of 1000, 0:00:36, about 0:49:24 left",
    ]


def test_quick_work_writes_a_line_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, 100, [(0.01 * i, i) for i in range(1, 101)])
    counts = [int(line.split()[1]) for line in found]
    assert counts == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert found[-1] == "judging: 100 of 100, 0:00:01"


def test_a_single_step_that_takes_long_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, 20, [(60, 1), (65, 2), (120, 3)])
    assert found == [
        "judging: 1 of 20, 0:01:00",
        "judging: 3 of 20, 0:02:00, about 0:08:30 left",
    ]


def test_what_was_recalled_does_not_shorten_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = told(capsys, 100, [(0, 90), (50, 91)])
    assert found == [
        "judging: 90 of 100, 0:00:00",
        "judging: 91 of 100, 0:00:50, about 0:07:30 left",
    ]


def test_without_a_terminal_the_watch_is_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as watch:
        listen = watch("calibrating")
        listen(0, 4)
        listen(4, 4)
    assert capsys.readouterr().err == "calibrating: 4 of 4, 0:00:00\n"
