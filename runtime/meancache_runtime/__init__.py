"""Replay precompiled MeanCache schedules in flow-matching pipelines (torch and nothing else).

Example:
    >>> from meancache_runtime import attach, load_schedule
    >>> with attach(pipe, load_schedule("schedule.json"), budget=16):  # doctest: +SKIP
    ...     image = pipe("a red apple", num_inference_steps=50).images[0]

Hosts with a loop of their own use :func:`integrate` or the step machine :class:`Replay`.
"""

from .attach import Attachment as Attachment
from .attach import attach
from .replay import Replay as Replay
from .replay import ReplayStats as ReplayStats
from .replay import integrate as integrate
from .schedule import Schedule as Schedule
from .schedule import load_schedule

__all__ = ["attach", "load_schedule"]
__version__ = "0.1.0"
