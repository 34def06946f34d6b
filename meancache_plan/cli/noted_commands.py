"""What a command was given, noted in what it makes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from meancache_plan.measure.profile import Profile
    from meancache_plan.schedule.artifact import Schedule
    from meancache_plan.schedule.provenance import Command

NOT_NOTED = {
    *("model", "profile", "schedule", "output"),
    *("runs", "device", "offload", "shard"),
    *("ray", "workers", "gpus_per_worker", "gang", "parallel"),
}
"""Parameters that say of which model, where, or in which parts: a note says what is made."""

FILES = {"recipe", "prompts", "sigmas"}
"""Options that may give a file: its name is noted, and not where it lies."""


def given(context: typer.Context) -> dict[str, object]:
    """The options that were typed and decide what is made, by their names without dashes."""
    found: dict[str, object] = {}
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in NOT_NOTED or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        found[parameter.opts[0].lstrip("-")] = Path(value).name if name in FILES else value
    return found


def note(
    name: Literal["calibrate", "solve", "refine"], arguments: Mapping[str, object]
) -> "Command | None":
    """A command as a schedule tells it; None if its arguments are too long to be noted."""
    from pydantic import ValidationError

    from meancache_plan.schedule.provenance import Command
    from meancache_plan.version import __version__

    told = {"command": name, "tool": f"meancache-plan {__version__}", "arguments": arguments}
    try:
        return Command.model_validate(told)
    except ValidationError:
        return None


def measured_by(profile: "Profile") -> "Command | None":
    """The command that makes such a profile; None if it is not known, or samples are missing."""
    return None if profile.missing else profile.settings.command


def commands_of(schedule: "Schedule") -> "tuple[Command, ...]":
    """The commands that are noted in a schedule."""
    return () if schedule.calibrated is None else schedule.calibrated.commands


def noted(
    schedule: "Schedule", before: "Sequence[Command | None]", command: "Command | None"
) -> "Schedule":
    """The schedule, with the commands that made it; with none if one of them is not known.

    Args:
        schedule: What ``command`` made.
        before: Those that led to what it was made of.
        command: The last one.
    """
    made = schedule.calibrated
    assert made is not None
    known = [each for each in (*before, command) if each is not None]
    all_known = before and len(known) == len(before) + 1
    provenance = made.model_copy(update={"commands": tuple(known) if all_known else ()})
    return schedule.model_copy(update={"provenance": provenance})
