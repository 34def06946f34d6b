"""The field of an evaluation: a schedule's plans, and what one would use instead of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from meancache_plan.artifact import AdamsInterval, HoldInterval, Plan, Schedule
from meancache_plan.evaluate.result import Method
from meancache_plan.grid import uniform_knots
from meancache_runtime import Schedule as ReplaySchedule


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to make a sample: follow ``schedule``, or else run ``steps`` plain steps."""

    method: Method
    budget: int
    steps: int
    schedule: ReplaySchedule | None = None


def contenders(schedule: Schedule, budgets: Sequence[int] | None = None) -> list[Contender]:
    """The full run, then, budget by budget, the plan and its baselines.

    Raises:
        BudgetError: The schedule has no plan for one of ``budgets``.
    """
    readable = schedule.replayable()
    wanted = readable.budgets if budgets is None else tuple(dict.fromkeys(budgets))
    for budget in wanted:
        readable.plan(budget)
    steps = schedule.grid.steps
    found = [Contender("full", steps, steps)]
    for plan in schedule.plans:
        if plan.budget in wanted:
            found += _at_one_budget(schedule, plan)
    return found


def _at_one_budget(schedule: Schedule, plan: Plan) -> list[Contender]:
    """The plan and its baselines, all with as many denoiser refreshes as the plan has."""
    steps, budget, refreshes = schedule.grid.steps, plan.budget, len(plan.knots)
    knots = uniform_knots(steps, refreshes)
    hold = (HoldInterval(),) * refreshes
    adams = (HoldInterval(), *(AdamsInterval(order=2, gains=(1.0, 1.0)),) * (refreshes - 1))

    def follow(method: Method, plan: Plan) -> Contender:
        alone = schedule.model_copy(update={"plans": (plan,)})
        return Contender(method, budget, steps, alone.replayable())

    return [
        follow("plan", plan),
        follow("uniform-hold", Plan(budget=budget, knots=knots, intervals=hold)),
        follow("uniform-adams", Plan(budget=budget, knots=knots, intervals=adams)),
        Contender("fewer-steps", budget, refreshes),
    ]
