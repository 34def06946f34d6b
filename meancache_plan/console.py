"""What the command says: results on standard output, progress and complaints on standard error."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

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
    """Progress bars with the time left, one for each piece of work that is named."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def watch(work: str) -> Listener:
            task = bars.add_task(work, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield watch


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
