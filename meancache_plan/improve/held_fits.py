"""Where fits have been, as far as memory goes: others whose knots begin alike go on from there."""

from collections.abc import Sequence
from typing import NamedTuple

from meancache_plan.improve.closed_loop import Visited, alike

Prior = Sequence[tuple[float, ...]]


class Held(NamedTuple):
    """A fit that others may go on from.

    Attributes:
        kind: What else it depends on; only fits of one kind share anything.
        knots: Its own.
        prior: Gains that it was shrunk towards, an interval.
        bytes: What its states take.
        visited: Where it has been; None if that was before an interruption.
    """

    kind: str
    knots: tuple[int, ...]
    prior: tuple[tuple[float, ...], ...]
    bytes: int
    visited: Visited | None

    def shares(self, kind: str, knots: Sequence[int], prior: Prior) -> int:
        """Knots at which the other fit is where this one was, with what it knows there."""
        common = alike(self.knots, knots) if kind == self.kind else 0
        same = all(a == b for a, b in zip(self.prior[: common - 1], prior, strict=False))
        return common if same else 0


class HeldFits:
    """The fits that were used last, whose states take at most so many bytes together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: list[Held] = []  # the one that was used last is last

    def nearest(self, kind: str, knots: Sequence[int], prior: Prior) -> Held | None:
        """The fit that shares most with this one, of several the last; None if none does."""
        shares = {n: each.shares(kind, knots, prior) for n, each in enumerate(self._held)}
        best = max(shares, key=lambda n: (shares[n], n), default=None)
        if best is None or not shares[best]:
            return None
        self._held.append(self._held.pop(best))
        return self._held[-1]

    def room(self, size: int, source: Held | None) -> bool:
        """Whether there is room for another, which is made from ``source``; others go for it."""
        kept = source.bytes if source else 0
        if kept + size > self._most:
            return False
        while sum(each.bytes for each in self._held) + size > self._most:
            self._held.pop(0)
        return True

    def add(self, fit: Held) -> None:
        """Hold a fit that there is room for."""
        self._held.append(fit)
