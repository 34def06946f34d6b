"""Write a whole file or nothing."""

import os
import tempfile
from pathlib import Path

from meancache_plan.errors import InputError


def check_writable(path: Path) -> None:
    """Refuse a place where no file can be written: ask before the work, not after.

    Raises:
        InputError: The directory is missing or cannot be written, or ``path`` is a directory.
    """
    if path.is_dir() or not path.name:
        raise InputError(f"{path}: is a directory: give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the directory {path.parent} does not exist: make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the directory {path.parent} cannot be written")


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name beside ``path``, then rename it into place.

    Raises:
        InputError: The directory is missing or cannot be written.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
