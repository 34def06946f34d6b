"""What the command says: results on standard output, progress and complaints on standard error."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

PAUSE = 10.0
"""Seconds between two lines in a log, if the work does not end in between."""

Listener = Callable[[int, int], None]
"""Told (done, in all)."""


class Rate(ProgressColumn):
    """How many are done a second, a minute or an hour: the first that has one or more."""

    def render(self, task: Task) -> Text:
        """Nothing until it is known."""
        speed = task.speed or 0.0
        times = (("a second", 1), ("a minute", 60), ("an hour", 3600))
        time, seconds = next((each for each in times if speed * each[1] >= 1), times[-1])
        return Text(f"{speed * seconds:.3g} {time}" if speed else "", style="progress.data.speed")


@contextmanager
def watching(
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Callable[[str], Listener]]:
    """Progress with the time left, one bar for each piece of work that is named.

    Where standard error is no terminal, as in a log, it is a plain line now and then: rich itself
    would say nothing there until the end, which may be hours away.

    Args:
        clock: Seconds that never run backwards.
    """
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        *([BarColumn()] if console.is_terminal else []),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=math.inf,
        get_time=clock,
        disable=not console.is_terminal,
    )

    def watch(work: str) -> Listener:
        number, told = bars.add_task(work, total=None), -math.inf

        def listen(done: int, total: int) -> None:
            nonlocal told
            ends = done >= total and not bars.tasks[number].finished
            bars.update(number, completed=done, total=total)
            if bars.disable and (ends or clock() - told >= PAUSE):
                told = clock()
                console.print(bars.make_tasks_table([bars.tasks[number]]))

        return listen

    with bars:
        yield watch


@contextmanager
def resumable() -> Generator[None]:
    """Say that nothing is lost when the user interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        complain("interrupted; what was finished is kept: the same command goes on from there")
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
