"""What a command says while it works, where nobody draws bars."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from meancache_plan.show.terminal.console import Rate, watching


def told(
    capsys: pytest.CaptureFixture[str], total: int, reports: list[tuple[float, int]]
) -> list[list[str]]:
    """The words of the lines written for (seconds, done)."""
    now = 100.0
    with watching(lambda: now) as watch:
        listen = watch("judging")
        for seconds, done in reports:
            now = 100.0 + seconds
            listen(done, total)
    streams = capsys.readouterr()
    assert streams.out == ""
    return [line.replace("/", " ").split() for line in streams.err.splitlines()]


def test_slow_work_writes_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, 1000, [(3.0 * i, i) for i in range(10)]) == [
        ["judging", "0", "1000", "0:00:00", "left", "-:--:--"],
        ["judging", "4", "1000", "20", "a", "minute", "0:00:12", "left", "0:49:48"],
        ["judging", "8", "1000", "20", "a", "minute", "0:00:24", "left", "0:49:36"],
    ]


def test_quick_work_writes_a_line_at_the_start_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = told(capsys, 100, [(0.01 * i, min(i, 100)) for i in range(103)])
    assert [line[1:] for line in found] == [
        ["0", "100", "0:00:00", "left", "-:--:--"],
        ["100", "100", "100", "a", "second", "0:00:01", "left", "0:00:00"],
    ]


def test_samples_of_a_minute_each_tell_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, 20, [(0, 0), (60, 1), (120, 2), (180, 3)])
    assert [line[-1] for line in found] == ["-:--:--", "-:--:--", "0:18:00", "0:17:00"]


def test_what_was_recalled_does_not_shorten_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = told(capsys, 100, [(0, 90), (50, 91)])
    assert [line[-1] for line in found] == ["-:--:--", "0:07:30"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.25, "4 a second"), (8, "7.5 a minute"), (7200, "0.5 an hour")]
)
def test_a_bar_says_how_many_are_done_in_a_time_that_sees_some(seconds: float, said: str) -> None:
    now = 0.0
    bars = Progress(get_time=lambda: now, speed_estimate_period=1e9)
    bars.add_task("judging", total=9)
    [task] = bars.tasks
    assert Rate().render(task).plain == ""
    for done in range(3):
        bars.update(task.id, completed=done)
        now += seconds
    assert Rate().render(task).plain == said
