"""How far held-out samples strayed from their plans, in words."""

import numpy as np

from meancache_plan.judge.figures import INNOVATION
from meancache_plan.judge.findings import Row


def beyond(row: Row) -> str | None:
    """Which share of a plan's samples left its bounds, and at which knots; None if none did."""
    knots = [str(each.knot) for each in row.innovations if each.beyond]
    if not knots:
        return None
    share = np.mean(np.array(row.figure(INNOVATION).samples) > 1)
    return f"{share:.0%} (at knot{'s' * (len(knots) > 1)} {', '.join(knots)})"


def stray_note(row: Row) -> str | None:
    """How far a plan's samples strayed at most, and who left the bounds; None without bounds."""
    if not row.innovations:
        return None
    worst = max(row.innovations, key=lambda each: each.largest)
    left = beyond(row)
    return (
        f"innovation on {row.samples} held-out samples: up to {worst.largest:.2f} of its bound, at "
        f"knot {worst.knot}; beyond bounds: {left or 'none'}"
    )
