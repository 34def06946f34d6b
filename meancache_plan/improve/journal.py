"""Where the finished work of a refinement is kept, and how long."""

import shutil
from pathlib import Path
from typing import Any

from meancache_plan.files import journal
from meancache_plan.files.atomic import check_writable


def folder_of(path: Path) -> Path:
    """Where work on the schedule file ``path`` is kept: ``FILE.refine/`` beside it."""
    return path.with_name(path.name + ".refine")


def forget(path: Path) -> None:
    """Drop the work that was kept for a schedule file: it is written. Other files stay."""
    folder = folder_of(path)
    for trajectories in folder.glob("trajectories-*"):
        shutil.rmtree(trajectories, ignore_errors=True)
    journal.forget(folder)


class Journal(journal.Journal):
    """Results by key, in ``FILE.refine/`` beside the schedule that they are for.

    Args:
        path: The schedule's file.
        settings: Everything that a result depends on beside its key; JSON values.

    Raises:
        InputError: The place cannot be written, or the folder belongs to another refinement.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        check_writable(path)
        remedy = "choose another file with -o"
        super().__init__(folder_of(path), settings, "refinement", remedy)
