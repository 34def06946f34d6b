"""The samples that a caller asks for, and the file that the work on them leads to."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from meancache_plan.errors import InputError, check_kind, check_list, check_whole
from meancache_plan.files.atomic import check_writable
from meancache_plan.files.journal import beside
from meancache_plan.files.lock import alone

SCHEDULE = "solve makes one, and meancache_plan.load_schedule reads one from its file"
PROFILE = "calibrate makes one, and load_profile reads one from its file"
"""What to give, where something else was given."""


def check_samples(prompts: Iterable[str], seeds: Iterable[int]) -> tuple[list[str], list[int]]:
    """Return both as lists. Raises InputError: an entry, or no entry, makes no sample."""
    texts = check_list("prompts", prompts, "give a list of strings")
    for text in texts:
        check_kind("a prompt", text, str, "give strings")
    numbers = [
        check_whole("a seed", seed, 0) for seed in check_list("seeds", seeds, "give a list: [0, 1]")
    ]
    if not texts or not numbers:
        raise InputError("there is no sample: give at least one prompt and one seed")
    return texts, numbers


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
