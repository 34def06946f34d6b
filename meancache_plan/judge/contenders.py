"""The field of an evaluation: a schedule's plans, and what one would use instead of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from meancache_plan.core.grid import uniform_knots
from meancache_plan.errors import InputError
from meancache_plan.judge.result import METHODS, Method
from meancache_plan.judge.rivals import check_rival
from meancache_plan.schedule.artifact import Schedule
from meancache_runtime import Schedule as ReplaySchedule
from meancache_runtime.schedule import Adams, Hold, Plan


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to make a sample: follow ``schedule``, or else run ``steps`` plain steps."""

    method: Method
    budget: int
    steps: int
    schedule: ReplaySchedule | None = None


def contenders(
    schedule: Schedule,
    budgets: Sequence[int] | None = None,
    rivals: Mapping[str, Schedule] | None = None,
) -> list[Contender]:
    """The run that plans aim at, then, budget by budget, the plan, its rivals and its baselines.

    Args:
        schedule: What to judge.
        budgets: Which of its plans; all by default.
        rivals: Other schedules for the same steps, by the name of their rows.

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
        if name in METHODS:
            raise InputError(f"a rival schedule cannot be named {name!r}: rename its file")
        check_rival(name, rival, steps, wanted)
    found = [Contender("full", steps, schedule.grid.finer_steps or steps)]
    for plan in readable.plans:
        if plan.budget in wanted:
            found.append(_follow("plan", readable, plan))
            for name, rival in (rivals or {}).items():
                other = rival.replayable()
                found.append(_follow(name, other, other.plan(plan.budget)))
            found += _baselines(readable, plan)
    return found


def _follow(method: Method, schedule: ReplaySchedule, plan: Plan) -> Contender:
    alone = replace(schedule, plans=(plan,))
    return Contender(method, plan.budget, schedule.grid.steps, alone)


def _baselines(schedule: ReplaySchedule, plan: Plan) -> list[Contender]:
    """What one would use instead, with as many denoiser refreshes as the plan has."""
    steps, budget, refreshes = schedule.grid.steps, plan.budget, len(plan.knots)
    knots = uniform_knots(steps, refreshes, schedule.grid.switches)
    hold = (Hold(),) * refreshes
    adams = (Hold(), *(Adams((1.0, 1.0)),) * (refreshes - 1))
    return [
        _follow("uniform-hold", schedule, Plan(budget, knots, hold)),
        _follow("uniform-adams", schedule, Plan(budget, knots, adams)),
        Contender("fewer-steps", budget, refreshes),
    ]
