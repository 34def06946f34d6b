"""Replay precompiled MeanCache schedules in flow-matching pipelines (torch and nothing else).

Example:
    >>> from meancache_runtime import attach, load_schedule
    >>> with attach(pipe, load_schedule("schedule.json"), budget=16):  # doctest: +SKIP
    ...     image = pipe("a red apple", num_inference_steps=50).images[0]

Hosts with a loop of their own use :func:`integrate` or the step machine :class:`Replay`.
"""

from .attach import Attachment, attach
from .replay import Replay, ReplayStats, ReplayWarning, integrate
from .schedule import Schedule, load_schedule

__all__ = [
    "Attachment",
    "Replay",
    "ReplayStats",
    "ReplayWarning",
    "Schedule",
    "attach",
    "integrate",
    "load_schedule",
]
__version__ = "0.1.0"
