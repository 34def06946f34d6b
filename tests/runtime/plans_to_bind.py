"""Plans to bind, and a field to follow them on."""

from __future__ import annotations

from typing import Any

from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from meancache_runtime.schedule import Plan

SIGMAS = tuple(3 * s / (1 + 2 * s) for s in (1 - i / 20 for i in range(21)))
PLANS = {
    "hold": Plan(3, (0, 4, 9), (Hold(),) * 3),
    "jvp": Plan(3, (0, 4, 9), (Hold(), Jvp(3), Jvp(6))),
    "released": Plan(3, (0, 4, 9), (Released(1), Released(4), Released(7))),
    "adams": Plan(
        4, (0, 2, 9, 15), (Hold(), Adams((1.0, 0.7)), Adams((0.9, 1.1)), Adams((1.0,) * 4))
    ),
    "every step": Plan(20, tuple(range(20)), (Hold(),) * 20),
    "nothing": Plan(2, (0, 9), (Hold(), Adams((0.0,)))),
}


def field(latents: Any, sigma: float) -> Any:
    return latents * (-0.7 * sigma) + latents * latents * 0.1 + sigma
