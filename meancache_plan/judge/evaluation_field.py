"""The field of an evaluation: a schedule's plans, and what one would use instead of each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from meancache_plan.core.grid import uniform_knots
from meancache_plan.judge.contender import Contender, following
from meancache_plan.judge.findings import FULL, PLAN
from meancache_plan.judge.rivals import check_name, check_rival
from meancache_plan.plan.simple_plans import adams_plan, hold_plan
from meancache_plan.schedule.artifact import Schedule
from meancache_runtime import Schedule as ReplaySchedule
from meancache_runtime.schedule import Plan

METHODS = (FULL, PLAN, "uniform-hold", "uniform-adams", "fewer-steps")
"""What every evaluation compares; rival schedules come under names of their own."""


def evaluation_field(
    schedule: Schedule,
    budgets: Sequence[int] | None = None,
    rivals: Mapping[str, Schedule] | None = None,
    *,
    baselines: bool = True,
) -> list[Contender]:
    """The run that plans aim at, then, budget by budget, the plan, its rivals and its baselines.

    Args:
        schedule: What to judge.
        budgets: Which of its plans; all by default.
        rivals: Other schedules for the same steps, by the name of their rows.
        baselines: Whether these compete too.

    Raises:
        BudgetError: A schedule has no plan for one of the budgets.
        InputError: A rival is for another number of steps, or its name is taken.
    """
    readable = schedule.replayable()
    wanted = readable.budgets if budgets is None else tuple(dict.fromkeys(budgets))
    for budget in wanted:
        readable.plan(budget)
    steps = schedule.grid.steps
    for name, rival in (rivals or {}).items():
        check_name(name, METHODS)
        check_rival(name, rival, steps, wanted)
    found = [full_run(steps, schedule.grid.finer_steps)]
    for plan in readable.plans:
        if plan.budget in wanted:
            found.append(following(PLAN, readable, plan.budget))
            for name, rival in (rivals or {}).items():
                found.append(following(name, rival.replayable(), plan.budget))
            found += _baselines(readable, plan) if baselines else []
    return found


def full_run(steps: int, finer_steps: int | None = None) -> Contender:
    """The run of all steps, or of the finer run that plans aim at, which all are judged by."""
    taken = finer_steps or steps
    return Contender(FULL, f"{taken} steps", taken, budget=steps)


def _baselines(schedule: ReplaySchedule, plan: Plan) -> list[Contender]:
    """What one would use instead, with as many denoiser refreshes as the plan has."""
    steps, budget, refreshes = schedule.grid.moving_steps, plan.budget, len(plan.knots)
    knots = uniform_knots(steps, min(refreshes, steps), schedule.grid.switches)
    hold, adams = hold_plan(knots, budget), adams_plan(knots, budget)
    return [
        following("uniform-hold", replace(schedule, plans=(hold,)), budget),
        following("uniform-adams", replace(schedule, plans=(adams,)), budget),
        Contender("fewer-steps", f"B = {budget}", refreshes, budget=budget),
    ]
