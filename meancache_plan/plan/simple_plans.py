"""Plans by a rule that needs no measurement: what every plan is judged beside."""

from collections.abc import Sequence

from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Plan


def hold_plan(knots: Sequence[int], budget: int | None = None) -> Plan:
    """Each knot's velocity, held; the budget is the number of knots unless said otherwise."""
    return Plan(budget or len(knots), tuple(knots), (Hold(),) * len(knots))


def adams_plan(knots: Sequence[int], budget: int | None = None) -> Plan:
    """Plain Adams–Bashforth of order 2 at these knots."""
    intervals = (Hold(), *(Adams((1.0, 1.0)),) * (len(knots) - 1))
    return Plan(budget or len(knots), tuple(knots), intervals)
