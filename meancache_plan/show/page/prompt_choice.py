"""Which prompts the page shows: typical ones, the best, and the worst that were seen."""

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple

from meancache_plan.judge.sample_folder import Pictured

MOST = 16
"""Prompts on a page."""

Group = Literal["worst", "typical", "best"]


class Chosen(NamedTuple):
    """A sample to show, and what it stands for."""

    group: Group
    sample: Pictured


def choose(samples: Sequence[Pictured]) -> list[Chosen]:
    """At most ``MOST`` samples: the worst of every budget, typical ones, and the best.

    Samples are ranked by the PSNR of their picture at the smallest budget. About three eighths
    of the places go to the worst: those of the smallest budget and, in turn, of each larger one;
    the rest is shared between the best and those around the median.
    """
    pictured = [sample for sample in samples if sample.cached]
    places = min(MOST, len(pictured))
    worst = _worst(pictured, math.ceil(places * 3 / 8))
    smallest = min((cached.budget for s in pictured for cached in s.cached), default=0)
    ranked = sorted(
        (sample for sample in pictured if sample not in worst), key=lambda s: _psnr(s, smallest)
    )
    best = ranked[len(ranked) - (places - len(worst)) // 2 :]
    middle = ranked[: len(ranked) - len(best)]
    count = places - len(worst) - len(best)
    first = (len(middle) - count) // 2
    typical = middle[first : first + count]
    groups: dict[Group, list[Pictured]] = {"worst": worst, "typical": typical, "best": best[::-1]}
    return [Chosen(group, sample) for group, found in groups.items() for sample in found]


def _worst(samples: list[Pictured], count: int) -> list[Pictured]:
    """The worst sample of each budget, smallest budget first, then the second worst, …"""
    budgets = sorted({cached.budget for sample in samples for cached in sample.cached})
    columns = [sorted(samples, key=lambda s: _psnr(s, budget)) for budget in budgets]
    found: list[Pictured] = []
    for rank in zip_longest(*columns):
        found += [sample for sample in dict.fromkeys(rank) if sample not in found]
    return found[:count]


def _psnr(sample: Pictured, budget: int) -> float:
    return next((c.psnr for c in sample.cached if c.budget == budget), math.inf)
