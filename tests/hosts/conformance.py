"""What every host must do: the same plans, followed on the same velocity field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch

from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from meancache_runtime.schedule import Schedule
from tests.hosts.host import SIZE, Host, Latents, Model, field
from tests.plans import KNOTS, PREDICTORS
from tests.runtime import by_hand

STEPS = 10
SIGMAS = by_hand.shifted(STEPS)
NOISE: Latents = np.random.default_rng(0).uniform(-1, 1, SIZE)
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
ROUNDINGS = 8
"""How many of its dtype's roundings a host may be off, of numbers no larger than 2."""


def plan(
    knots: tuple[int, ...], *predictors: Hold | Jvp | Released | Adams, **grid: int
) -> Schedule:
    """A schedule for the test's grid."""
    return by_hand.schedule(STEPS, knots, predictors, SIGMAS, tolerance=1e-4, **grid)


PLANS = {
    "every predictor": plan(KNOTS, *PREDICTORS),
    "an aim at the flow": plan(KNOTS, *PREDICTORS, finer_steps=3 * STEPS),
    "a long memory": plan(KNOTS, Hold(), Hold(), Hold(), Adams((0.9, 1.1, 0.5, 0.05))),
    "steps that stand still": plan(KNOTS, Hold(), Adams((0.0,)), Hold(), Hold()),
    "every step": plan(tuple(range(STEPS)), *[Hold()] * STEPS),
}

STILL = by_hand.schedule(
    STEPS + 2, (*KNOTS, STEPS), (*PREDICTORS, Jvp(2)), [*SIGMAS, 0.0, 0.0], tolerance=1e-4
)
"""The first plan on a grid that ends with steps of no length, the first of which is a knot too."""

RUNS: dict[str, tuple[Sequence[float], float | None]] = {
    "NaN": (SIGMAS, SIGMAS[KNOTS[2]]),
    "another grid": (by_hand.shifted(STEPS, 2.0), None),
    "another step count": (by_hand.shifted(STEPS + 1), None),
}
"""What is refused → the noise levels of such a run, and where its model gives NaN."""


@cache
def _expected(name: str) -> torch.Tensor:
    (followed,) = PLANS[name].plans
    noise = torch.from_numpy(NOISE)
    return by_hand.integrate(field, noise, followed, SIGMAS, PLANS[name].grid.displaced)


def expected(name: str) -> Latents:
    """The latents of a plan, in float64, by an integrator of the specification's formulas."""
    return _expected(name).numpy()


def allowed(dtype: str) -> float:
    """How far a host's latents may be off."""
    return ROUNDINGS * 2 * EPSILON[dtype]


def start(host: Host, name: str, dtype: str) -> tuple[Model, Callable[..., Latents]]:
    """A model that counts, and a host that follows a plan with it: called with σ₀ … σ_T."""
    schedule, model = PLANS[name], Model()
    run = host.build(schedule, schedule.budgets[0], model, dtype)
    return model, lambda sigmas=SIGMAS: run(NOISE, sigmas)


def run_refused(host: Host, case: str) -> Latents:
    """One of :data:`RUNS`: raises what the host raises."""
    sigmas, breaks_at = RUNS[case]
    model, run = start(host, "every predictor", host.dtypes[0])
    model.breaks_at = breaks_at
    return run(sigmas)
