"""A process that works for another: it makes a thing of its own once, and does units with it."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from meancache_plan.errors import MeanCacheError
from meancache_plan.fleet.crew import Begin, Change

if TYPE_CHECKING:
    from meancache_plan.fleet.gang import Seat

T = TypeVar("T")

Facts = dict[str, Any]
"""JSON values in which all workers must be alike."""


class Member:
    """A worker's process, or one of its gang: a thing, and what does the units of a work.

    Args:
        seat: Its place in the gang; None if it is alone.
    """

    def __init__(self, seat: "Seat | None") -> None:
        self._seat = seat

    def start(self, make: Callable[[], Any], facts: Callable[[Any], Facts]) -> Any:
        """Make the thing, once; say what it is, whenever asked."""
        try:
            if not hasattr(self, "_thing"):
                if self._seat is not None:
                    self._seat.take()
                self._thing = make()
            return facts(self._thing)
        except MeanCacheError as error:
            return error

    def do(self, number: int, begin: Begin[Any, Any, Any], unit: Any) -> Any:
        """The results of a unit of the work of this number; none but from a gang's first."""
        try:
            if number != getattr(self, "_number", None):
                self._work, self._number = begin(self._thing), number
            results = list(self._work(unit))
            return results if self._seat is None or self._seat.rank == 0 else []
        except MeanCacheError as error:
            return error


_OPEN = ExitStack()
"""What a worker's thing was changed by, which lasts as long as its process."""


def entered(make: Callable[[], T], change: Change[T]) -> T:
    """What a change makes of a thing, for the rest of the process."""
    return _OPEN.enter_context(change(make()))
