"""Other schedules that a command line gives (``--against``): their names, and whether they fit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meancache_plan.fleet.crew import Crew
    from meancache_plan.schedule.artifact import Schedule
    from meancache_plan.source.diffusers.pipeline import Pipeline


def load_rivals(files: Sequence[Path] | None) -> "dict[str, Schedule]":
    """Other schedules, by the names of their rows, in the order of the files.

    A row has the name of its file's stem; where two are alike, the parent folder's name stands
    before it (``qwen-image/50-steps``).

    Raises:
        InputError: Two files have one name all the same.
        ScheduleError: A file is no schedule.
    """
    from meancache_plan.errors import InputError
    from meancache_plan.schedule.artifact import load_schedule

    given = list(files or [])
    often = Counter(map(_stem, given))
    found: dict[str, Schedule] = {}
    for file in given:
        stem = _stem(file)
        name = stem if often[stem] == 1 else f"{file.absolute().parent.name}/{stem}"
        if name in found:
            raise InputError(f"--against {file}: two schedules are named {name}: rename one")
        found[name] = load_schedule(file)
    return found


def check_against(
    crew: "Crew[Pipeline]",
    judged: "Schedule",
    budgets: Sequence[int],
    files: Sequence[Path] | None,
    rivals: "Mapping[str, Schedule]",
) -> None:
    """Refuse, by its file, a rival that cannot stand beside the judged schedule.

    Args:
        crew: Has the pipeline.
        judged: What is judged.
        budgets: Those that every rival must have a plan for.
        files: As they were given.
        rivals: What :func:`load_rivals` made of them.

    Raises:
        InputError: A rival is for another model, sampler or number of steps.
        BudgetError: A schedule has no plan for one of the budgets.
        MeanCacheError: The judged schedule does not fit the pipeline.
    """
    from meancache_plan.judge.rivals import check_rivals

    named = zip(files or [], rivals.values(), strict=True)
    found = {f"--against {file}": rival for file, rival in named}
    crew.ask(lambda source: check_rivals(source.pipe, judged, budgets, found))


def _stem(file: Path) -> str:
    return file.name if file.is_dir() else file.stem
