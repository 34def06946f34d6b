"""The field of an evaluation: a schedule's plans, and what one would use instead of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meancache_plan.core.grid import uniform_knots
from meancache_plan.errors import InputError
from meancache_plan.judge.result import METHODS, Method
from meancache_plan.judge.rivals import check_rival
from meancache_plan.schedule.artifact import AdamsInterval, HoldInterval, Plan, Schedule
from meancache_runtime import Schedule as ReplaySchedule


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
    for plan in schedule.plans:
        if plan.budget in wanted:
            found.append(_follow("plan", schedule, plan))
            for name, rival in (rivals or {}).items():
                own = next(entry for entry in rival.plans if entry.budget == plan.budget)
                found.append(_follow(name, rival, own))
            found += _baselines(schedule, plan)
    return found


def _follow(method: Method, schedule: Schedule, plan: Plan) -> Contender:
    alone = schedule.model_copy(update={"plans": (plan,)})
    return Contender(method, plan.budget, schedule.grid.steps, alone.replayable())


def _baselines(schedule: Schedule, plan: Plan) -> list[Contender]:
    """What one would use instead, with as many denoiser refreshes as the plan has."""
    steps, budget, refreshes = schedule.grid.steps, plan.budget, len(plan.knots)
    knots = uniform_knots(steps, refreshes, schedule.grid.switches)
    hold = (HoldInterval(),) * refreshes
    adams = (HoldInterval(), *(AdamsInterval(order=2, gains=(1.0, 1.0)),) * (refreshes - 1))
    return [
        _follow("uniform-hold", schedule, Plan(budget=budget, knots=knots, intervals=hold)),
        _follow("uniform-adams", schedule, Plan(budget=budget, knots=knots, intervals=adams)),
        Contender("fewer-steps", budget, refreshes),
    ]
