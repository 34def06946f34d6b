"""Schedules replayed, and simply fewer steps."""

from collections.abc import Sequence

from meancache_plan.judge.contender import Contender, following
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule


def plans(name: str, schedule: Schedule, budgets: Sequence[int] | None = None) -> list[Contender]:
    """One peer for each plan of a schedule, all budgets by default.

    Raises:
        BudgetError: The schedule has no plan for one of the budgets.
    """
    readable = schedule.replayable()
    wanted = readable.budgets if budgets is None else budgets
    return [following(name, readable, budget) for budget in wanted]


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


def fewer_steps(sampler: str, numbers: Sequence[int]) -> list[Contender]:
    """The pipeline's own sampler, by its name, with fewer steps."""
    return [Contender(f"fewer steps, {sampler}", f"{n} steps", n) for n in numbers]
