"""Write whole files or nothing."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from meancache_plan.errors import InputError

SHOWN = 60
"""Characters of a file's name in its temporary one, which is longer and must fit as well."""


def check_writable(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Refuse a place where no file can be written: ask before the work, not after.

    Args:
        path: The file to write.
        inputs: Files that the work reads, and must not replace; None is none.

    Raises:
        InputError: The directory is missing or cannot be written; ``path`` is a directory, a device
            or a pipe, or one of the inputs; or its name is too long for a file.
    """
    _check_replaceable(path)
    for file in inputs:
        if file is not None and os.path.exists(file) and path.exists() and path.samefile(file):
            raise InputError(
                f"{path}: is one of the inputs, and would be overwritten: choose another file"
            )
    if path.is_dir() or not path.name:
        raise InputError(f"{path}: is a directory: give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the directory {path.parent} does not exist: make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the directory {path.parent} cannot be written")


def _check_replaceable(path: Path) -> None:
    """Refuse what a file must not be renamed onto, such as /dev/null, or no file can be called."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{path}: {error.strerror}: give a shorter one") from error
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path}: is a device or a pipe, not a file: give the name of a file")


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name beside ``path``, then rename it into place.

    Raises:
        InputError: The directory is missing or cannot be written.
    """
    write_together({path: data})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all under temporary names first, then rename them in turn.

    Whatever fails, every file is as it was and no temporary one is left. Only a process that is
    killed between two renames leaves new files beside old ones; the last one is then an old one.

    Args:
        contents: What to write by path, in the order of the renames.

    Raises:
        InputError: A directory is missing or cannot be written, or a path is a device or a pipe.
    """
    for path in contents:
        _check_replaceable(path)
    with ExitStack() as temporary:
        fresh = {path: _staged(path, data, temporary) for path, data in contents.items()}
        spares = {path: _spare(path, temporary) for path in [*contents][:-1]}
        try:
            for path, staged in fresh.items():
                _replace(staged, path)
        except BaseException:
            renamed = [path for path, staged in fresh.items() if not staged.exists()]
            if len(renamed) < len(fresh):
                for path in renamed:
                    _put_back(path, spares[path])
            raise


def _staged(path: Path, data: bytes, temporary: ExitStack) -> Path:
    """A file beside ``path`` with this content, safely on the disk; gone when the stack closes."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:SHOWN]}.", dir=path.parent)
        temporary.callback(Path(name).unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    return Path(name)


def _spare(path: Path, temporary: ExitStack) -> Path | None:
    """A copy of what is there, its mode and times too; None if nothing is."""
    if not path.exists():
        return None
    try:
        spare = _staged(path, path.read_bytes(), temporary)
        shutil.copystat(path, spare)
    except OSError as error:
        raise InputError(f"{path}: cannot be replaced ({error.strerror})") from error
    return spare


def _replace(staged: Path, path: Path) -> None:
    try:
        os.replace(staged, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def _put_back(path: Path, spare: Path | None) -> None:
    """What was there before: the spare copy, or nothing."""
    if spare is None:
        path.unlink(missing_ok=True)
    else:
        _replace(spare, path)
