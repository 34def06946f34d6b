"""Full runs that are kept on the disk: what calibration recorded, refinement need not run again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable
from meancache_plan.files.journal import Journal, Part
from meancache_plan.source.protocols import Source

TRAJECTORY, LATENTS = "trajectory", "latents"
"""A kept part and its tensor, z₀ … z_T; its value is the grid."""


def journal_at(folder: Path) -> Journal:
    """That of a folder in which full runs are kept, of any models.

    Raises:
        InputError: It is a file, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file: give a folder for full runs")
    check_writable(folder / TRAJECTORY if folder.is_dir() else folder)
    return Journal(folder)


def made_by(source: Source, finer_steps: int | None) -> dict[str, Any]:
    """What decides a source's full runs, but for prompt and seed, as JSON values."""
    generation = source.generation().model_dump(exclude={"elements", "calls"})  # which a run tells
    return to_jsonable_python(
        {
            "model": source.identity(),
            "generation": generation,
            "scheduler_config": source.scheduler_config(),
            "call": source.call_arguments(),
            "finer_steps": finer_steps,
        }
    )


class FullRuns:
    """Those that one source makes.

    Args:
        journal: Keeps them.
        made: What decides them: see :func:`made_by`.
    """

    def __init__(self, journal: Journal, made: Mapping[str, Any]) -> None:
        self._journal = journal
        self._made = made

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
