"""The comparison at equal cost: for each plan, the best that every peer does for as much."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from meancache_plan.judge.figures import FIGURES
from meancache_plan.judge.findings import PLAN, Comparison, Row, Spread

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
        quality: What the settings of a peer compete in; a name in ``FIGURES``.

    Raises:
        InputError: This quality was not measured.
    """
    rows = comparison.measured()
    peers = dict.fromkeys(row.method for row in rows if row.method != PLAN)
    prompts = np.repeat(np.arange(comparison.prompts), len(comparison.seeds)).tolist()
    return [
        _match(plan, peer, [row for row in rows if row.method == peer], cost, quality, prompts)
        for plan in rows
        if plan.method == PLAN
        for peer in peers
    ]


def losses(found: Sequence[Match]) -> Iterator[Match]:
    """Where a peer is better on average."""
    return (match for match in found if match.lost)


def cost_of(row: Row, cost: Cost) -> float:
    """What it costs: the mean; of relative seconds the median, which a busy machine spares.

    Raises:
        InputError: The cost was not measured.
    """
    found = row.figure(cost)
    return float(np.median(found.samples)) if cost == "relative_seconds" else found.mean


def _match(
    plan: Row, peer: str, rows: Sequence[Row], cost: Cost, quality: str, prompts: Sequence[int]
) -> Match:
    most = cost_of(plan, cost) * (1 + SLACK[cost])
    sign = 1 if FIGURES[quality].higher else -1
    cheap = [row for row in rows if cost_of(row, cost) <= most]
    if not cheap:
        return Match(plan, peer, None)
    best = max(cheap, key=lambda row: sign * row.mean(quality))
    ours, theirs = (np.array(row.figure(quality).samples) for row in (plan, best))
    gain = Spread.of((sign * (ours - theirs)).tolist(), higher=True, groups=prompts)
    return Match(plan, peer, best, gain.mean, gain.interval)
