"""What the tests of kits read in one: its files, its schedule, its page."""

from __future__ import annotations

import shlex
from pathlib import Path

from meancache_plan import load_schedule
from meancache_plan.schedule.artifact import Schedule

FILES = {"MEANCACHE.md", "meancache_report.html", "meancache_schedule.json"}


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def packed(folder: Path) -> Schedule:
    return load_schedule(folder / "meancache_schedule.json")


def table(card: str) -> list[list[str]]:
    """Cells of the table in a page, without its head."""
    lines = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|")]
    return lines[2:]


def again(card: str) -> list[list[str]]:
    """The command lines that make it again, without the command's name."""
    block = card.partition("## Make it again")[2].partition("```sh\n")[2].partition("\n```")[0]
    return [shlex.split(line)[1:] for line in block.splitlines()]


def timeless(schedule: Schedule) -> Schedule:
    """All but the speed-ups."""
    plans = tuple(
        plan.model_copy(update={"measured": plan.measured.model_copy(update={"speedup": 1.0})})
        for plan in schedule.plans
        if plan.measured is not None
    )
    return schedule.model_copy(update={"plans": plans})
