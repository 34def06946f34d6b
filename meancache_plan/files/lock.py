"""One run at a time at work on an output."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from meancache_plan.errors import InputError

INSIDE = ".meancache.lock"
"""The lock in a folder that is being written."""


class _NotMadeError(InputError):
    """The lock's file cannot be written."""


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Be the only run at work on an output, by ``PATH.lock`` beside it, which goes at the end.

    The system lets go of the lock when the process ends, however it ends.

    Args:
        path: A file or folder to be written; its directory is there.

    Raises:
        InputError: Another run is at work on it, or the lock cannot be made.
    """
    with _held(path.with_name(path.name + ".lock"), path):
        yield


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Be the only run at work in a folder, which may lie where one may write nothing else.

    A lock lies beside it, where that can be, and one in it, if it exists: who may write beside it
    holds both, so that two runs meet at one of them whatever each may write.

    Raises:
        InputError: As :func:`alone`.
    """
    with ExitStack() as held:
        try:
            held.enter_context(alone(folder))
        except _NotMadeError:
            if not folder.is_dir():
                raise
        if folder.is_dir():
            held.enter_context(_held(folder / INSIDE, folder))
        yield


@contextmanager
def _held(file: Path, output: Path) -> Generator[None]:
    """Hold the lock of this file, which is gone afterwards; ``output`` is what it stands for."""
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{output}: another run is writing it: wait for its end, or choose another output"
        ) from error
    except OSError as error:
        raise _NotMadeError(f"{file}: cannot be made ({error.strerror})") from error
    try:
        yield
    finally:
        with suppress(OSError):  # who waits for a file that is gone makes a new one
            file.unlink()
        lock.release()
