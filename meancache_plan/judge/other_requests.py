"""Other requests than a schedule was calibrated for, at which its plans are judged too."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import Generation, Schedule
from meancache_runtime.annotations import Value
from meancache_runtime.call_settings import differing, filled
from meancache_runtime.other_adapters import other_adapters
from meancache_runtime.requests import NO_ADAPTERS, recognised
from meancache_runtime.schedule import Adapter

COMPARED = ("height", "width", "frames", "dtype", "negative_prompt", "attention", "quantisation")


def other_request(
    schedule: Schedule,
    here: Generation,
    adapters: Sequence[Adapter],
    defaults: Mapping[str, Any],
) -> dict[str, Value]:
    """In what samples are made otherwise than those of a calibration, by names; {} in nothing.

    What is not known of either is none of it.

    Args:
        schedule: What was calibrated.
        here: How these samples are made.
        adapters: In effect in the denoisers meanwhile.
        defaults: Of the pipeline's call, by the names of its arguments.

    Raises:
        InputError: The adapters are others, and nobody could recognise them.
    """
    made, found = schedule.generation, _adapters(schedule, adapters)
    if made is None:
        return found
    pairs = {name: (getattr(made, name), getattr(here, name)) for name in COMPARED}
    found |= {
        name: now
        for name, (there, now) in pairs.items()
        if there is not None and now is not None and there != now
    }
    calls = [filled(each.replayable(), defaults) for each in (here, made)]
    return found | {name: now for name, (now, _) in differing(*calls).items()}


def _adapters(schedule: Schedule, here: Sequence[Adapter]) -> dict[str, Value]:
    model = schedule.model
    other = None if model is None else other_adapters(here, model.replayable().adapters)
    if other is None:
        return {}
    known = recognised(here)
    if known is None:
        raise InputError(
            f"{other}; to judge the schedule with these, keep them loaded and in memory, or nobody "
            "could tell them from others"
        )
    return {"adapters": known}


def words(request: Mapping[str, Value]) -> str:
    """A request as people read it: ``height 96, width 96``."""
    return ", ".join(_words(name, value) for name, value in request.items())


def _words(name: str, value: Value) -> str:
    if name == "adapters" and isinstance(value, str):
        digests = re.findall(r"sha256:(\w{8})", value)
        return f"the adapters {', '.join(digests)}" if value != NO_ADAPTERS else "no adapters"
    if isinstance(value, bool):
        return f"{'a' if value else 'no'} {name.replace('_', ' ')}"
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"
