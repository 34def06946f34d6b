"""What workers were asked for and have not answered yet."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

W = TypeVar("W")

WAITS, STARTS, HEARD = -3, -2, -1
"""In the place of a unit's number: a worker waits for room, starts, or says that it is there."""

PATIENCE = 3600.0
"""Seconds in which a worker that has its room has started, its model fetched and loaded."""


@dataclass(eq=False, slots=True)
class Call(Generic[W]):
    """What a worker is asked for.

    Attributes:
        worker: Who.
        unit: A unit's number, or WAITS, STARTS or HEARD.
        changes: The number of the changes that its thing is to have.
        since: When it was asked, in seconds.
        awaited: What stands for the answers of its members who have not answered.
        values: The others' answers.
    """

    worker: W
    unit: int
    changes: int
    since: float
    awaited: set[Any]
    values: list[Any] = field(default_factory=lambda: [])


class Calls(Generic[W]):
    """All calls that are under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_answer: dict[Any, Call[W]] = {}

    @property
    def answers(self) -> list[Any]:
        """What stands for all answers that are awaited."""
        return [*self._by_answer]

    def add(self, worker: W, unit: int, changes: int, answers: Iterable[Any]) -> None:
        """A worker, whose members give an answer each, is asked."""
        call = Call(worker, unit, changes, self._clock(), {*answers})
        self._by_answer |= dict.fromkeys(call.awaited, call)

    def answered(self, answer: Any) -> Call[W]:
        """The call that this answers."""
        call = self._by_answer.pop(answer)
        call.awaited.remove(answer)
        return call

    def drop(self, call: Call[W]) -> None:
        """Await no answer to a call."""
        for answer in call.awaited:
            del self._by_answer[answer]

    def clear(self) -> None:
        """Await nothing."""
        self._by_answer.clear()

    def lasting(self, units: Collection[int], patience: float) -> list[Call[W]]:
        """The calls for these units, and those to start, or to say so, of before ``patience``."""
        latest = self._clock() - patience
        return [
            call
            for call in dict.fromkeys(self._by_answer.values())
            if call.unit in units or (call.unit in (STARTS, HEARD) and call.since < latest)
        ]
