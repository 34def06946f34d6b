"""One run at a time at work on an output."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from meancache_plan.errors import InputError


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Be the only run at work on an output, by ``PATH.lock`` beside it, which goes at the end.

    The system lets go of the lock when the process ends, however it ends.

    Args:
        path: A file or folder to be written; its directory is there.

    Raises:
        InputError: Another run is at work on it, or the lock cannot be made.
    """
    file = path.with_name(path.name + ".lock")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{path}: another run is writing it: wait for its end, or choose another output"
        ) from error
    except OSError as error:
        raise InputError(f"{file}: cannot be made ({error.strerror})") from error
    try:
        yield
    finally:
        with suppress(OSError):  # who waits for a file that is gone makes a new one
            file.unlink()
        lock.release()
