"""Starting plans: for a model that nobody has calibrated, from what other models' plans are like.

Knots lie more densely where steps are wide in σ, on a grid of the usual shift, and where published
plans have more of them; Adams–Bashforth of order 2 between them needs nothing measured. The
rule and its numbers were chosen on calibration prompts (``benchmarks/start.py``).
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.grid import shifted_sigmas, spread_knots
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.plan.solve import check_budgets
from meancache_plan.schedule.artifact import (
    Grid,
    ModelIdentity,
    PlanEntry,
    Schedule,
    load_schedule,
)
from meancache_plan.schedule.digest import sha256_of
from meancache_plan.schedule.provenance import StartProvenance, StartRule
from meancache_plan.source import catalog
from meancache_plan.source.recipe import digest
from meancache_plan.version import __version__
from meancache_runtime.schedule import Plan

SHIFT = 3.0
"""Of the grid whose steps' widths count, whatever the run's own is: most are near it."""

WIDTH, TILT = 0.5, 0.25
"""What was chosen: see :func:`start_plans`."""


def start_plans(
    budgets: Iterable[int],
    steps: int,
    published: Mapping[str, Schedule],
    *,
    width: float = WIDTH,
    tilt: float = TILT,
) -> dict[int, Plan]:
    """Plan every budget without any measurement.

    Args:
        budgets: Denoiser refreshes B, each in 1 … T; in any order, repeats count once.
        steps: T.
        published: Schedules of others, by name.
        width: Power of a step's width in σ by which knots lie more densely: 1 spreads them evenly
            in σ, 0 evenly over the steps.
        tilt: Power of the published plans' density, likewise.

    Raises:
        InputError: A budget is out of range, or ``steps`` is.
    """
    widths = -np.diff(shifted_sigmas(steps, SHIFT))
    weights = (widths**width * published_density(published, steps) ** tilt).tolist()
    wanted = check_budgets(budgets, steps, steps)
    return {budget: adams_plan(spread_knots(weights, budget)) for budget in wanted}


def published_density(published: Mapping[str, Schedule], steps: int) -> NDArray[np.float64]:
    """How many knots published plans have at a step, in the mean over all of them: float64 [T].

    At each step of an interval that is one over its length. Plans for another number of steps are
    carried over by the share of the run, and a step has what theirs have in the mean over it.
    """
    found: list[NDArray[np.float64]] = []
    for schedule in published.values():
        own = schedule.grid.steps
        shares = np.linspace(0, own, steps + 1)
        for plan in schedule.plans:
            counted = np.interp(shares, [*plan.knots, own], range(len(plan.knots) + 1))
            found.append(np.diff(counted) * steps / own)
    return np.mean(found, axis=0)


def published_schedules() -> dict[str, Schedule]:
    """The bundled schedules of published plans, by model: those that state no noise levels."""
    found = map(load_schedule, catalog.schedule_files().values())
    return {
        schedule.model.id: schedule
        for schedule in found
        if schedule.model is not None and schedule.grid.sigmas is None
    }


def start_schedule(model: ModelIdentity, budgets: Iterable[int], steps: int) -> Schedule:
    """The starting plans of a model, with a provenance that says what they are.

    They fit any Euler grid of ``steps`` steps.

    Raises:
        InputError: A budget is out of range, or ``steps`` is.
    """
    published = published_schedules()
    plans = start_plans(budgets, steps, published)
    rule = StartRule(
        source=f"published plans of {', '.join(published)}",
        published=digest([sha256_of(schedule) for schedule in published.values()]),
        plans=sum(len(schedule.plans) for schedule in published.values()),
        shift=SHIFT,
        width=WIDTH,
        tilt=TILT,
    )
    return Schedule(
        model=model,
        grid=Grid(steps=steps, sigmas=None, tolerance=0.0),
        generation=None,
        plans=tuple(map(PlanEntry.of, plans.values())),
        provenance=StartProvenance(tool=f"meancache-plan {__version__}", start=rule),
    )
