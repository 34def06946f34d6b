"""Progress as a caller wants it: none, a bar, or told to a function."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from meancache_plan.show.terminal.console import Listener, watching

Progress = bool | Listener
"""True: a bar on standard error. False: nothing. Else called with (done, in all)."""


@contextmanager
def watched(progress: Progress) -> Generator[Callable[[str], Listener]]:
    """Name of a piece of work → what to tell while it lasts."""
    if progress is True:
        with watching() as watch:
            yield watch
    else:
        tell = progress or _silent
        yield lambda work: tell


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
