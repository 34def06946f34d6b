"""What the command says: results on standard output, progress and complaints on standard error."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Listener = Callable[[int, int], None]
"""Told (done, in all)."""


@contextmanager
def watching() -> Generator[Callable[[str], Listener]]:
    """Progress with the time left, one bar for each piece of work that is named.

    Where standard error is not a terminal, as in a log, it is a plain line now and then.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:

        def watch(work: str) -> Listener:
            task = bars.add_task(work, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield watch


class Lines:
    """A listener that writes plain lines: after ten seconds or a tenth of the work, and at the end.

    The time left counts what was done since the first report: the rest may have been recalled.

    Args:
        work: What is done.
        clock: Seconds that never run backwards.
    """

    PAUSE = 10.0
    """Seconds between two lines, if less than a tenth is done in between."""

    def __init__(self, work: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self._clock = work, clock
        self._start = clock()
        self._first: tuple[float, int] | None = None
        self._last = self._start, 0

    def __call__(self, done: int, total: int) -> None:
        """Be told how far the work is."""
        now = self._clock()
        self._first = self._first or (now, done)
        seconds, finished = now - self._last[0], done - self._last[1]
        ended = done >= total and finished > 0
        if seconds >= self.PAUSE or 10 * finished >= total > 0 or ended:
            self._last = now, done
            left = self._left(self._first, done, total)
            elapsed = _clock_time(now - self._start)
            print(f"{self._work}: {done} of {total}, {elapsed}{left}", file=sys.stderr, flush=True)

    def _left(self, first: tuple[float, int], done: int, total: int) -> str:
        seconds, finished = self._clock() - first[0], done - first[1]
        if finished <= 0 or done >= total:
            return ""
        return f", about {_clock_time(seconds / finished * (total - done))} left"


def _clock_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def resumable() -> Generator[None]:
    """Say that nothing is lost when the user interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        complain("interrupted; finished work is kept: the same command goes on from there")
        raise


def complain(text: str) -> None:
    """One message on standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"meancache-plan: {text}", markup=False)


def display(*things: object) -> None:
    """Tables and the like on standard output."""
    for thing in things:
        Console(highlight=False).print(thing)


def say(text: str) -> None:
    """One line on standard output, never wrapped or styled."""
    Console(highlight=False).print(text, markup=False, soft_wrap=True)
