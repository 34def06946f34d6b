"""A process that works for another: it makes a thing of its own once, and does units with it."""

import gc
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from meancache_plan.errors import MeanCacheError
from meancache_plan.fleet.crew import Begin, Change

if TYPE_CHECKING:
    from meancache_plan.fleet.gang import Seat

Facts = dict[str, Any]
"""JSON values in which all workers must be alike."""


class Changes(NamedTuple):
    """What a thing is changed by, one after the other, under a number that no others have."""

    number: int = 0
    all: tuple[Change[Any], ...] = ()


class Member:
    """A worker's process, or one of its gang: a thing, and what does the units of a work.

    Args:
        seat: Its place in the gang; None if it is alone.
    """

    def __init__(self, seat: "Seat | None") -> None:
        self._seat = seat
        self._entered = ExitStack()
        self._changes: int | None = None
        self._number: int | None = None
        self._work: Any = None

    def start(
        self, make: Callable[[], Any], facts: Callable[[Any], Facts], changes: Changes
    ) -> Any:
        """Make the thing, once; change it as it is to be; say what it is, whenever asked."""
        try:
            if not hasattr(self, "_own"):
                if self._seat is not None:
                    self._seat.take()
                self._own = make()
            if changes.number != self._changes:
                self._change(changes)
            return facts(self._thing)
        except MeanCacheError as error:
            return error

    def do(self, number: int, begin: Begin[Any, Any, Any], unit: Any) -> Any:
        """The results of a unit of the work of this number; none but from a gang's first."""
        try:
            if number != self._number:
                self._work, self._number = begin(self._thing), number
            results = list(self._work(unit))
            return results if self._seat is None or self._seat.rank == 0 else []
        except MeanCacheError as error:
            return error

    def _change(self, changes: Changes) -> None:
        """Have what these changes make in the place of the thing, and no others."""
        self._work = self._number = None
        self._thing = self._own
        self._entered.close()
        gc.collect()  # what a change has loaded goes before another comes
        for each in changes.all:
            self._thing = self._entered.enter_context(each(self._thing))
        self._changes = changes.number
