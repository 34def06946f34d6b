"""One plan with every predictor, for a run of few steps, and one with a knot at each of them."""

from __future__ import annotations

from meancache_runtime.predictors import Adams, Hold, Jvp, Predictor, Released
from tests.runtime import by_hand

STEPS = 8
KNOTS = (0, 1, 3, 6)
BUDGET = len(KNOTS)
PREDICTORS: tuple[Predictor, ...] = (Hold(), Released(2), Jvp(3), Adams((1.02, 0.7, 0.4)))
SCHEDULE = by_hand.schedule(STEPS, KNOTS, PREDICTORS)
PLAN = SCHEDULE.plans[0]
FULL = by_hand.schedule(STEPS, range(STEPS))
