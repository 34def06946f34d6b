"""What a server offers, by its environment, and what one of its requests chooses of that.

A plug-in has no flags of its own, so a server is told by environment variables:

- ``MEANCACHE_SCHEDULE``: a schedule's file, folder or hub id, as ``load_schedule`` takes it, or
  several, separated as paths are (``:``; ``;`` on Windows); the first serves requests that name
  none.
- ``MEANCACHE_BUDGET``: how often the denoiser runs for a request that does not say so itself. It
  may be left out if the first schedule has one plan; 0: only requests that say so follow a plan.

A request may say ``meancache_schedule`` (a name) and ``meancache_budget`` (0: every step) where its
server passes extra parameters on.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BudgetError, ScheduleError, ScheduleNotFoundError
from ...schedule import Schedule, load_schedule
from ...strict_json import MAX_DIGITS, quote, shorten

SCHEDULE = "MEANCACHE_SCHEDULE"
BUDGET = "MEANCACHE_BUDGET"
PARAMETERS = ("meancache_schedule", "meancache_budget")
"""What a request may say."""

PLAIN = "meancache_budget 0"
"""How a request asks for all of its steps."""


@dataclass(frozen=True)
class Choice:
    """The plan that one request follows: a schedule that the server offers, and a budget of it."""

    name: str
    schedule: Schedule
    budget: int

    def __str__(self) -> str:
        return f"{self.name}, budget {self.budget}"


def is_offered(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for schedules at all."""
    return any(environment.get(name, "").strip() for name in (SCHEDULE, BUDGET))


class Offer:
    """The schedules that a server was started with.

    Attributes:
        schedules: By name: a file's without its ending, a folder's, or a hub id.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the schedules that the environment names.

        Raises:
            ScheduleError: None is named, two have one name, or one is no valid schedule.
            ScheduleNotFoundError: One is not there.
            BudgetError: The budget is none of the first schedule's, or is missing.
        """
        sources = [s for s in environment.get(SCHEDULE, "").strip().split(os.pathsep) if s]
        text = environment.get(BUDGET, "").strip()
        if not sources:
            wrong = f"{BUDGET} is set, but no schedule to take it from: set {SCHEDULE} to"
            if not text:
                wrong = f"{SCHEDULE} names no schedule: set it to"
            raise ScheduleError(
                f"{wrong} a schedule's path, or unset {BUDGET if text else SCHEDULE}"
            )
        self.schedules: dict[str, Schedule] = {}
        for source in sources:
            name = _name(source)
            if name in self.schedules:
                raise ScheduleError(
                    f"{SCHEDULE} names two schedules {quote(name)}: rename a file, so that "
                    "requests can tell them apart"
                )
            self.schedules[name] = _loaded(source)
        self._first = next(iter(self.schedules))
        if text and not (text.isdecimal() and len(text) <= MAX_DIGITS):
            raise BudgetError(f"{BUDGET} is {quote(text)}: set it to an integer, 0 or more")
        self._budget = int(text) if text else None
        self.choose({})

    def choose(self, extra: Mapping[str, Any]) -> Choice | None:
        """What a request follows; None if all of its steps are taken.

        Args:
            extra: The request's extra parameters; those of other names than ``meancache_…`` are
                none of ours. None is as good as absent.

        Raises:
            ScheduleNotFoundError: It names a schedule that the server does not offer.
            BudgetError: It asks for a budget that there is no plan for, or for none where it must.
            ScheduleError: It says something that is not known.
        """
        said = _known(extra)
        name = said.get("meancache_schedule", self._first)
        if not isinstance(name, str) or name not in self.schedules:
            raise ScheduleNotFoundError(
                f"this server offers no schedule {shorten(repr(name))}; it offers "
                f"{', '.join(self.schedules)} ({SCHEDULE})"
            )
        schedule = self.schedules[name]
        usual = self._budget if name == self._first else None
        budget = said.get("meancache_budget", usual)
        if budget is None:
            if len(schedule.budgets) > 1:
                raise BudgetError(
                    f"{name}: say which budget, as {BUDGET} for the server or meancache_budget "
                    f"in a request: one of {', '.join(map(str, schedule.budgets))}"
                )
            budget = schedule.plans[0].budget
        if type(budget) is int and budget == 0:
            return None
        try:
            schedule.plan(budget)
        except BudgetError as error:
            raise BudgetError(f"{name}: {error}; {PLAIN} takes every step") from None
        return Choice(name, schedule, budget)


def _known(extra: Any) -> dict[str, Any]:
    """Those of :data:`PARAMETERS` that it has. Raises ScheduleError for another ``meancache_…``."""
    if not isinstance(extra, Mapping):
        raise ScheduleError(
            f"a request's extra parameters are a {type(extra).__name__}: give an object"
        )
    for name in map(str, extra):
        if name.startswith("meancache_") and name not in PARAMETERS:
            raise ScheduleError(
                f"{shorten(name)} is not known: a request may say {', '.join(PARAMETERS)}"
            )
    return {name: extra[name] for name in PARAMETERS if extra.get(name) is not None}


def _name(source: str) -> str:
    path = Path(source)
    if path.suffix == ".json":
        return path.stem
    return path.name if os.path.exists(path) else source


def _loaded(source: str) -> Schedule:
    try:
        return load_schedule(source)
    except ScheduleError as error:
        raise type(error)(f"{SCHEDULE}: {error}") from error
