"""Which unit of work is next: a queue that outlives its workers."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

TRIES = 3
"""Times that a unit is begun, until it is taken for what kills its workers."""

SILENCE, SLOWER = 600.0, 10
"""A unit is late after so many seconds, and so many times what the slowest one took."""


class Tasks:
    """Units 0 … count − 1, which any worker may take; what a worker leaves undone is next again.

    Attributes:
        tries: Times that a unit is begun at most.
        failed: Units that are given up, each with the last reason.
    """

    def __init__(
        self, count: int, tries: int = TRIES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting = deque(range(count))
        self._clock = clock
        self._since: dict[int, float] = {}
        self._slowest: float | None = None
        self._begun = [0] * count
        self._left = self._count = count
        self.tries = tries
        self.failed: dict[int, str] = {}

    @property
    def open(self) -> bool:
        """Whether a unit is neither done nor given up."""
        return self._left > 0

    @property
    def hopeless(self) -> bool:
        """Whether it is not for a unit that it fails: several are given up, and none is done."""
        return len(self.failed) >= self.tries and self._count - self._left == len(self.failed)

    @property
    def waiting(self) -> int:
        """Units that nobody works at."""
        return len(self._waiting)

    def take(self) -> int:
        """The next unit. Raises IndexError if none is waiting."""
        unit = self._waiting.popleft()
        self._begun[unit] += 1
        self._since[unit] = self._clock()
        return unit

    def late(self, silence: float = SILENCE) -> set[int]:
        """Units that take so long that whoever took them must hang; none before one is done."""
        slowest = math.inf if self._slowest is None else self._slowest
        latest = self._clock() - max(silence, SLOWER * slowest)
        return {unit for unit, since in self._since.items() if since < latest}

    def done(self, unit: int) -> None:
        """A unit that was taken is done."""
        took = self._clock() - self._since.pop(unit)
        self._slowest = max(took, self._slowest or 0.0)
        self._left -= 1

    def lost(self, unit: int, reason: str) -> None:
        """A unit that was taken will not be done by whoever took it."""
        del self._since[unit]
        if self._begun[unit] < self.tries:
            self._waiting.appendleft(unit)
        else:
            self.failed[unit] = reason
            self._left -= 1

    def given_up(self, units: Sequence[object]) -> str:
        """What has failed of these units, and what became of the others."""
        shown = [f"{units[unit]} ({reason})" for unit, reason in sorted(self.failed.items())]
        more = f", and {len(shown) - 5} more" if len(shown) > 5 else ""
        others = "all others were done: run again to try these once more"
        return (
            f"given up after {self.tries} tries each: {'; '.join(shown[:5])}{more}; "
            f"{'nothing else was done: mend that, and run again' if self.open else others}"
        )
