"""Whether another schedule can stand beside the one that is judged: asked before anything runs."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.schedule.artifact import Schedule
from meancache_runtime import attach
from meancache_runtime.errors import BudgetError


def check_rivals(
    pipe: Any, schedule: Schedule, budgets: Sequence[int], rivals: Mapping[str, Schedule]
) -> None:
    """Refuse schedules that the pipeline cannot follow, and rivals of another kind than the judged.

    Args:
        pipe: The diffusers pipeline, not attached; left as it was found.
        schedule: What is judged.
        budgets: Which of its plans the rivals must have too.
        rivals: Other schedules, by what a message calls them, such as ``--against other.json``.

    Raises:
        InputError: A rival is for another model, sampler or number of steps.
        BudgetError: A schedule has no plan for one of the budgets.
        MeanCacheError: The judged schedule does not fit the pipeline.
    """
    readable = schedule.replayable()
    for budget in budgets:
        readable.plan(budget)
    attach(pipe, readable, budget=readable.budgets[0]).detach()
    for name, rival in rivals.items():
        try:
            attach(pipe, rival, budget=rival.budgets[0]).detach()
        except MeanCacheError as error:
            raise InputError(f"{name}: {error}; or leave this rival out") from error
        check_rival(name, rival, schedule.grid.steps, budgets)


def check_name(name: str, taken: Container[str]) -> None:
    """Refuse a rival whose rows would bear a name that others have. Raises InputError."""
    if name in taken:
        raise InputError(f"a rival schedule cannot be named {name!r}: rename its file")


def check_rival(name: str, rival: Schedule, steps: int, budgets: Sequence[int]) -> None:
    """Refuse a rival for other ``steps``, or without a plan for one of the budgets.

    Raises:
        InputError: The rival is for another number of steps.
        BudgetError: The rival has no such plan.
    """
    if rival.grid.steps != steps:
        raise InputError(
            f"{name}: is for {rival.grid.steps} steps, the schedule for {steps}: give one for as "
            "many steps"
        )
    readable = rival.replayable()
    try:
        for budget in budgets:
            readable.plan(budget)
    except BudgetError as error:
        raise BudgetError(f"{name}: {error}") from error
