"""Schedules replayed, and simply fewer steps."""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from meancache_plan.judge.compare.peer import Peer
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule, to_bytes
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime import attach


def sha256_of(schedule: Schedule) -> str:
    """``sha256:…`` of a schedule's canonical bytes."""
    return "sha256:" + hashlib.sha256(to_bytes(schedule)).hexdigest()


def plans(name: str, schedule: Schedule, budgets: Sequence[int] | None = None) -> list[Peer]:
    """One peer for each plan of a schedule, all budgets by default.

    Raises:
        BudgetError: The schedule has no plan for one of the budgets.
    """
    readable, source = schedule.replayable(), sha256_of(schedule)
    wanted = readable.budgets if budgets is None else tuple(budgets)
    for budget in wanted:
        readable.plan(budget)

    def following(budget: int) -> Peer:
        def enter(pipeline: Pipeline) -> AbstractContextManager[Any]:
            return attach(pipeline.pipe, readable, budget=budget)

        setting = f"B = {budget}"
        return Peer(name, setting, schedule.grid.steps, enter, budget=budget, source=source)

    return [following(budget) for budget in wanted]


def baselines(profile: Profile, budgets: Sequence[int]) -> dict[str, Schedule]:
    """MeanCache's plans from the same calibration: ``paper`` and ``released``, by PSSP with γ 4.

    The paper's predictor and cost (arXiv 2601.19961), and the replay of its released scripts.

    Raises:
        InputError: A budget is out of range.
    """

    def planned(predictor: str) -> Schedule:
        return solve(
            profile,
            budgets,
            planner="pssp",
            predictors=("hold", predictor),
            metric="l1",
            weighting="none",
        )

    return {"paper": planned("jvp"), "released": planned("released")}


def fewer_steps(sampler: str, numbers: Sequence[int]) -> list[Peer]:
    """The pipeline's own sampler, by its name, with fewer steps."""
    return [Peer(f"fewer steps, {sampler}", f"{n} steps", n) for n in numbers]
