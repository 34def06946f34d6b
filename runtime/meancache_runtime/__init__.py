"""Replay precompiled MeanCache schedules: the standard library reads, binds and follows them.

Example:
    >>> from meancache_runtime import attach, load_schedule
    >>> with attach(pipe, load_schedule("schedule.json"), budget=16):  # doctest: +SKIP
    ...     image = pipe("a red apple", num_inference_steps=50).images[0]

Hosts load the framework that they are for when they are first used; hosts with a loop of their
own use :func:`integrate`, the step machine :class:`Replay`, or the :class:`Table` alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .aloud import MeanCacheWarning
from .hosts.loop import integrate
from .machine import Replay
from .schedule import Schedule, load_schedule
from .stats import ReplayStats, ReplayWarning
from .table import Table

if TYPE_CHECKING:
    from .hosts.diffusers.attach import Attachment, attach
    from .hosts.diffusers.scheduler import MeanCacheScheduler

__all__ = [
    "Attachment",
    "MeanCacheScheduler",
    "MeanCacheWarning",
    "Replay",
    "ReplayStats",
    "ReplayWarning",
    "Schedule",
    "Table",
    "attach",
    "integrate",
    "load_schedule",
]
__version__ = "0.1.0"

_HOSTS = {
    "Attachment": "hosts.diffusers.attach",
    "attach": "hosts.diffusers.attach",
    "MeanCacheScheduler": "hosts.diffusers.scheduler",
}
"""What is imported when it is first asked for, and from where."""


def __getattr__(name: str) -> Any:
    if name not in _HOSTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOSTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
