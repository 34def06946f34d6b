"""The samples that a caller asks for, and the file that the work on them leads to."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable
from meancache_plan.files.journal import beside
from meancache_plan.files.lock import alone


def check_samples(prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """Refuse a single text in place of a list, and no sample. Raises InputError."""
    if isinstance(prompts, str):
        raise InputError(f"prompts is one text: give a list, such as [{prompts!r}]")
    if not prompts or not seeds:
        raise InputError("there is no sample: give at least one prompt and one seed")


@contextmanager
def output(path: str | PathLike[str] | None) -> Generator[Path]:
    """The file to write, held alone; without one, a file that is gone at the end.

    Raises:
        InputError: It cannot be written, or another run is at work on it.
    """
    if path is None:
        with TemporaryDirectory(prefix="meancache-") as folder:
            yield Path(folder) / "output"
        return
    check_writable(Path(path))
    with alone(beside(Path(path))):
        yield Path(path)
