"""Which unit of work is next: a queue that outlives its workers."""

from collections import deque

TRIES = 3
"""Times that a unit is begun, until it is taken for what kills its workers."""


class Tasks:
    """Units 0 … count − 1, which any worker may take; what a worker leaves undone is next again.

    Attributes:
        tries: Times that a unit is begun at most.
        failed: Units that are given up, each with the last reason.
    """

    def __init__(self, count: int, tries: int = TRIES) -> None:
        self._waiting = deque(range(count))
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
        return unit

    def done(self, unit: int) -> None:
        """A unit that was taken is done."""
        assert self._begun[unit], f"unit {unit} was not begun"
        self._left -= 1

    def lost(self, unit: int, reason: str) -> None:
        """A unit that was taken will not be done by whoever took it."""
        if self._begun[unit] < self.tries:
            self._waiting.appendleft(unit)
        else:
            self.failed[unit] = reason
            self._left -= 1
