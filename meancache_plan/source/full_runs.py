"""Full runs that are kept on the disk: what calibration recorded, refinement need not run again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable
from meancache_plan.files.journal import Journal, Part

TRAJECTORY, LATENTS = "trajectory", "latents"
"""A kept part and its tensor, z₀ … z_T; its value is the grid."""


def check_folder(folder: Path) -> None:
    """Refuse a folder in which no full runs can be kept.

    Raises:
        InputError: It is a file, belongs to other work, or cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file: give a folder for full runs")
    check_writable(folder / TRAJECTORY if folder.is_dir() else folder)
    _journal(folder)


def _journal(folder: Path) -> Journal:
    try:
        return Journal(folder)
    except InputError as error:
        raise InputError(
            f"{folder}: is of other work: give another folder for full runs"
        ) from error


class FullRuns:
    """The full runs of one model and call that are kept.

    Args:
        journal: Keeps them; others' may be there too.
        made: What decides them, but for prompt and seed, as JSON values.
    """

    def __init__(self, journal: Journal, made: Mapping[str, Any]) -> None:
        self.folder = journal.folder
        self._journal = journal
        self._made = made

    @classmethod
    def within(cls, folder: Path, made: Mapping[str, Any]) -> Self:
        """Those in a folder, which need not be there yet, and is only written to keep one.

        Raises:
            InputError: It belongs to other work.
        """
        return cls(_journal(folder), made)

    def find(self, prompt: str, seed: int) -> Part | None:
        """The run that is kept of this sample; None if there is none."""
        return self._journal.find(TRAJECTORY, self._inputs(prompt, seed))

    def keep(self, prompt: str, seed: int, sigmas: Sequence[float], latents: Tensor) -> Part:
        """Keep a run: its grid, and its latents [T + 1, …] on any device.

        Raises:
            InputError: It cannot be written.
        """
        inputs, grid = self._inputs(prompt, seed), list(sigmas)
        return self._journal.keep(TRAJECTORY, inputs, grid, {LATENTS: latents})

    def _inputs(self, prompt: str, seed: int) -> dict[str, Any]:
        return {**self._made, "prompt": prompt, "seed": seed}
