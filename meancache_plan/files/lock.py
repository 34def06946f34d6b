"""One run at a time at work on an output."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from meancache_plan.errors import InputError

LOCK = "lock"
"""The file in a folder of unfinished work that a run holds."""


@contextmanager
def alone(folder: Path) -> Generator[None]:
    """Be the only run at work in a folder of unfinished work.

    It is made here, and its parent where that is an output to come; at the end what is empty goes.
    The system lets go of the lock when the process ends, however it ends.

    Args:
        folder: See :mod:`meancache_plan.files.journal`.

    Raises:
        InputError: Another run is at work there, or nothing can be written there.
    """
    lock, made = FileLock(folder / LOCK), [folder]
    try:
        made += [] if folder.parent.exists() else [folder.parent]
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{folder}: another run is at work there: wait for it to end, or choose another output"
        ) from error
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}): unfinished work is kept there; "
            "move it away, or choose another output"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # who waits for a file that is gone makes a new one
            (folder / LOCK).unlink()
        lock.release()
        with suppress(OSError):  # finished parts are in it, or the output
            for each in made:
                each.rmdir()
