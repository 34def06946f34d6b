"""A large pool of schedules of one budget, all of them made from calibration alone."""

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from benchmarks.contest import L1, Bench, fitted
from benchmarks.schedule_search import moved
from meancache_plan.improve.closed_loop import prior_gains
from meancache_plan.plan.plan_budgets import plan_budgets
from meancache_plan.plan.planning_problem import objective_of
from meancache_plan.plan.resample import of_prompts, plan_draws
from meancache_plan.plan.simple_plans import adams_plan, hold_plan
from meancache_plan.schedule.artifact import load_schedule
from meancache_plan.source import catalog
from meancache_runtime.predictors import Hold
from meancache_runtime.schedule import Plan

DRAWS = 20
"""Resampled calibrations for each way to plan from them."""

WEIGHTINGS, GAMMAS = ("none", "width", "propagated"), (1.0, 2.0, 4.0)
STATISTICS = ("mean", "cvar:0.9")


def pool(contest: Bench, budget: int, size: int, fits: int) -> list[Plan]:
    """So many different plans of exactly ``budget`` knots.

    First planned ones and published tables, then closed-loop fits of ``fits`` of these, evenly
    over them, then random moves of one or two knots of any, until there are enough. All planned
    ones are kept, even if these are more than ``size``.
    """
    found = dict.fromkeys(plan for plan in _planned(contest, budget) if len(plan.knots) == budget)
    priors = [plan for plan in found if prior_gains(plan) is not None]
    count = min(fits, len(priors))
    chosen = [priors[i * len(priors) // count] for i in range(count)]
    found |= dict.fromkeys(fitted(contest, plan) for plan in chosen)
    rng, known = random.Random(budget), list(found)
    for _ in range(20 * size):
        if len(found) >= size:
            break
        found.setdefault(_shaken(rng.choice(known), contest.profile.steps, rng))
    return list(found)


def _planned(contest: Bench, budget: int) -> Iterator[Plan]:
    """By every way to plan, from all samples; from resampled ones; and as published."""
    profile = contest.profile
    for options in _choices():
        objective = objective_of(profile, **options)
        found = plan_budgets(profile, objective, options["planner"], [budget])
        yield from (outcome.plan for outcome in found[budget])
    yield from _resampled(contest, budget)
    for file in catalog.schedule_files().values():
        schedule = load_schedule(file)
        if schedule.grid.sigmas is None and schedule.grid.steps == profile.steps:
            yield from (each.plan for each in schedule.plans if each.budget == budget)


def _choices() -> Iterator[dict[str, Any]]:
    """Options of ``solve``."""
    predictors = ("adams", "hold,adams", "hold")
    for planner, names, weighting, gamma, statistic in product(
        ("path", "pssp"), predictors, WEIGHTINGS, GAMMAS, STATISTICS
    ):
        options: dict[str, Any] = {"planner": planner, "predictors": tuple(names.split(","))}
        yield options | {"weighting": weighting, "gamma": gamma, "statistic": statistic}
    for weighting, gamma, order in product(WEIGHTINGS, GAMMAS, (2, 3)):
        options = {"planner": "path", "predictors": ("fitted",), "order": order}
        yield options | {"weighting": weighting, "gamma": gamma}
    for rule, gamma in product(("jvp", "released"), GAMMAS):
        yield L1 | {"predictors": ("hold", rule), "gamma": gamma}


def _resampled(contest: Bench, budget: int) -> Iterator[Plan]:
    """From calibrations of prompts drawn again, by ``adams`` and two weightings."""
    profile = contest.profile
    prompts = len(np.unique(profile.prompt_index))
    rng = np.random.default_rng(0)
    drawn = rng.integers(prompts, size=(DRAWS, prompts))
    draws = of_prompts(profile.prompt_index, list(drawn))
    for planner, weighting in product(("path", "pssp"), ("width", "propagated")):
        objective = objective_of(
            profile, planner=planner, predictors=("adams",), weighting=weighting
        )
        for plans in plan_draws(profile, objective, planner, draws, [budget]):
            yield adams_plan([interval.start for interval in plans[budget]])


def _shaken(plan: Plan, steps: int, rng: random.Random) -> Plan:
    """One or two knots of a plan moved; velocities are held if it holds all, else ``adams``'."""
    if not 1 < len(plan.knots) < steps:
        return plan
    knots = plan.knots
    for _ in range(rng.choice((1, 2))):
        knots = moved(knots, steps, rng)
    held = all(isinstance(interval, Hold) for interval in plan.intervals)
    return hold_plan(knots) if held else adams_plan(knots)
