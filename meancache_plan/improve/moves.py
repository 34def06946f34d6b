"""Knots a little aside of a plan's, and what is predicted of them: which moves are worth a fit."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from meancache_plan.core.interval_costs import arc_costs
from meancache_plan.core.interval_graph import weighed
from meancache_plan.core.objective import Objective
from meancache_plan.measure.profile import Profile

Knots = tuple[int, ...]

GAMMA = 2.0
"""Of the intervals' predicted costs, each with two gains fitted in open loop: squares add up."""


class Moves(NamedTuple):
    """Where knots may go.

    Attributes:
        near: (knots) → legal knots a little aside, the most promising first.
        predicted: (knots) → how good they are predicted to be, in dB; only differences count.
    """

    near: Callable[[Knots], list[Knots]]
    predicted: Callable[[Knots], float]


def moves_of(profile: Profile, weighting: str, max_edge: int) -> Moves:
    """Moves that leave a knot wherever another denoiser takes over, by predicted quality.

    Args:
        profile: Measured on the model.
        weighting: Of the intervals' errors.
        max_edge: Longest interval, in steps; a plan that has a longer one gets none beyond that.

    Raises:
        InputError: The profile does not know what the weighting needs.
    """
    steps, switches = profile.steps, {*profile.switches}
    objective = Objective(("fitted",), weighting=weighting, gamma=GAMMA, max_edge=steps)
    found = weighed(profile, objective, arc_costs)
    arcs = [(each.start - each.window, each.start, each.end) for each in found.intervals]
    weights = dict(zip(arcs, found.weights.tolist(), strict=True))

    def predicted(knots: Knots) -> float:
        triples = zip((0, *knots), knots, (*knots[1:], steps), strict=False)
        total = sum(weights[arc] for arc in triples)
        return -10 * math.log10(total) if total > 0 else math.inf

    def widest(knots: Knots) -> int:
        return max(b - a for a, b in pairwise((*knots, steps)))

    def near(knots: Knots) -> list[Knots]:
        most = max(max_edge, widest(knots))
        ascending = (
            each for each in _aside(knots) if all(a < b for a, b in pairwise((*each, steps)))
        )
        legal = {each for each in ascending if switches <= {*each} and widest(each) <= most}
        return sorted(legal, key=lambda each: (-predicted(each), each))

    return Moves(near, predicted)


def _aside(knots: Knots) -> Iterator[Knots]:
    """One knot moved by one or two steps, or it and all that follow by one; the first stays."""
    for i in range(1, len(knots)):
        before, after = knots[:i], knots[i + 1 :]
        yield from ((*before, knots[i] + by, *after) for by in (-2, -1, 1, 2))
        yield from ((*before, *(knot + by for knot in knots[i:])) for by in (-1, 1))
