"""How a pipeline's guiders are set, and whether what it was asked for stays so while it runs."""

import inspect
from collections.abc import Mapping
from typing import Any

from ...annotations import Value
from ...call_settings import GUIDER, NONE, named, settings, shown

OWN_COURSE = {"guidance_scale": "guidance_schedule"}
"""What a pipeline sets at each step by another of its arguments (Ideogram 4)."""

CALLBACKS = ("callback", "callback_on_step_end")


def defaults(pipe: Any) -> dict[str, Any]:
    """The arguments of a pipeline's call that have a default, by their names."""
    parameters = inspect.signature(pipe.__class__.__call__).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def guider_settings(pipe: Any) -> dict[str, Value]:
    """The classes of a pipeline's guiders and their settings, as they are now, by dotted names."""
    found: dict[str, Value] = {}
    for name, guider in vars(pipe).items():
        if name.endswith(GUIDER) and guider is not None:
            found[name] = type(guider).__name__
            found |= named(name, _attributes(guider))
    return found


def _attributes(guider: Any) -> dict[str, Any]:
    """What a guider is set to, rather than what it was made with, where these differ."""
    config: Mapping[str, Any] = getattr(guider, "config", vars(guider))
    names = [name for name in config if not name.startswith("_")]
    own = vars(guider)
    return {name: own.get(name, own.get(f"_{name}", config[name])) for name in names}


class Kept:
    """Whether settings stay as they are in a run.

    Args:
        pipe: A pipeline, which keeps some arguments of its call for callbacks to change.
        asked: The arguments of its call, by name.
    """

    def __init__(self, pipe: Any, asked: Mapping[str, Any]) -> None:
        self._pipe = pipe
        watched = any(asked.get(name) is not None for name in CALLBACKS)
        own = {name for name, by in OWN_COURSE.items() if asked.get(by) is not None}
        self._names = [name for name in asked if watched and name not in own]
        self._before: dict[str, Value] | None = None

    def changed(self, step: int) -> str | None:
        """What to say where they are others at this step of the schedule than at the first one."""
        here = vars(self._pipe)
        held = {name: here[f"_{name}"] for name in self._names if f"_{name}" in here}
        now = settings(held) | guider_settings(self._pipe)
        before = self._before = now if self._before is None else self._before
        for name in sorted(now.keys() | before.keys()):
            pair = [shown(values.get(name, NONE)) for values in (now, before)]
            if pair[0] != pair[1]:
                return (
                    f"at step {step} {name} is {pair[0]}, and it was {pair[1]} when the run began; "
                    "the plan's measured quality does not hold: leave it as it is in a run"
                )
        return None
