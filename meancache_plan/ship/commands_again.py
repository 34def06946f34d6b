"""The command lines that make a kit again, as its schedule notes them."""

import shlex
from collections.abc import Sequence

from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import Command
from meancache_plan.show.lines_to_copy import ANY_MODEL, file_name, model_name

PROFILE, FILE = "model.profile.safetensors", "schedule.json"
"""Names of what the lines write and read."""


def again(schedule: Schedule, pack: Sequence[str], folder: str) -> list[str]:
    """The noted commands, and the one that packs; none where none are noted.

    Args:
        schedule: What is packed.
        pack: Options of ``pack`` that decide what else is in the kit.
        folder: Name of its folder.
    """
    made, model = schedule.calibrated, model_name(schedule)
    if made is None or not made.commands or model == ANY_MODEL:
        return []
    lines = [_line(command, model) for command in made.commands]
    budgets = ",".join(map(str, schedule.budgets))
    pack = ["--schedule", FILE, "--budget", budgets, *pack]
    lines.append(["pack", *pack, "-o", file_name(folder, "release")])
    return [shlex.join(["meancache-plan", *line]) for line in lines]


def _line(command: Command, model: str) -> list[str]:
    name, *options = command.words()
    if name == "calibrate":
        return [name, model, *options, "-o", PROFILE]
    if name == "solve":
        return [name, PROFILE, *options, "-o", FILE]
    return [name, FILE, "--model", model, "--profile", PROFILE, *options]
