"""The comparison at equal cost: for each plan, the best that every peer does for as much."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.errors import InputError
from meancache_plan.judge.compare.result import PLAN, QUALITIES, Comparison, PerSample, Row

Cost = Literal["refreshes", "relative_seconds", "whole_refreshes"]

SLACK: dict[Cost, float] = {"refreshes": 0.02, "relative_seconds": 0.05, "whole_refreshes": 0.02}
"""What a peer may cost more than the plan and still count as equal, relative to the plan."""


class Match(NamedTuple):
    """A plan and the best setting of one peer that costs no more.

    Attributes:
        plan: The plan's row.
        peer: The peer's name.
        best: Its best setting at that cost; None if all of its settings cost more.
        gain: How much better the plan is, mean over the samples, in the figure's unit.
        interval: 95 % bootstrap interval of ``gain``, paired by sample.
    """

    plan: Row
    peer: str
    best: Row | None
    gain: float = float("nan")
    interval: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def lost(self) -> bool:
        """Whether the peer is better on average."""
        return self.best is not None and self.gain < 0

    @property
    def clearly(self) -> bool:
        """Whether the interval leaves no doubt about who is better."""
        return self.best is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def matches(comparison: Comparison, cost: Cost, quality: str = "psnr_latent") -> list[Match]:
    """All plans beside all peers, plan by plan.

    Args:
        comparison: What was measured.
        cost: What is to be equal: equivalent refreshes, the loop's seconds, or refreshes computed
            whole.
        quality: What the settings of a peer compete in; see ``QUALITIES``.

    Raises:
        InputError: This quality was not measured.
    """
    rows = comparison.measured()
    peers = dict.fromkeys(row.peer for row in rows if row.peer != PLAN)
    plans = [row for row in rows if row.peer == PLAN]
    return [
        _match(plan, peer, [r for r in rows if r.peer == peer], cost, quality, comparison.prompts)
        for plan in plans
        for peer in peers
    ]


def losses(found: Sequence[Match]) -> Iterator[Match]:
    """Where a peer is better on average."""
    return (match for match in found if match.lost)


def _match(
    plan: Row, peer: str, rows: Sequence[Row], cost: Cost, quality: str, prompts: int
) -> Match:
    most = plan.cost(cost) * (1 + SLACK[cost])
    sign = 1 if QUALITIES[quality] else -1
    cheap = [row for row in rows if row.cost(cost) <= most]
    if not cheap:
        return Match(plan, peer, None)
    best = max(cheap, key=lambda row: sign * _mean(row, quality))
    apart = sign * (_samples(plan, quality) - _samples(best, quality))
    grouped = apart.reshape(prompts, -1).mean(axis=1) if prompts > 1 else apart
    return Match(plan, peer, best, float(apart.mean()), bootstrap_interval(grouped.tolist()))


def _mean(row: Row, name: str) -> float:
    spread = getattr(row.figures, name, None)
    if spread is None:
        raise InputError(f"{name} was not measured: choose another figure")
    return spread.mean


def _samples(row: Row, name: str) -> np.ndarray:
    assert isinstance(row.per_sample, PerSample)
    return np.array(getattr(row.per_sample, name))
