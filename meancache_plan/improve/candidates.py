"""The candidates of a selection: plans from all planners, simple rules, and published plans."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from meancache_plan.core.grid import graded_knots, uniform_knots
from meancache_plan.core.objective import Objective
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.plan_budgets import plan_budgets
from meancache_plan.plan.simple_plans import adams_plan, hold_plan
from meancache_plan.schedule.artifact import Schedule
from meancache_runtime.schedule import Plan

GRADES = (0.15, 0.4, 2.5)
"""Last interval over first, for growing and shrinking intervals."""

NEAREST = 3
"""Paths that the path planner adds for its best guess: the lightest ones."""


class Candidate(NamedTuple):
    """A plan under its name; a baseline is what one could have without refining."""

    name: str
    plan: Plan
    baseline: bool = False


class _Variant(NamedTuple):
    name: str
    planner: str
    objective: Objective
    paths: int = 1
    baseline: bool = False


def pools(
    profile: Profile, solved: Schedule, published: Mapping[str, Schedule], max_edge: int
) -> dict[int, list[Candidate]]:
    """For each budget of a schedule every candidate, baselines first, none twice.

    Args:
        profile: What to plan from.
        solved: The schedule, solved from it.
        published: Schedules of others, by name; those for another number of steps, and plans of
            other budgets or without a knot where the denoiser changes, are left out.
        max_edge: Longest interval of new plans, 1 … T steps.
    """
    budgets = solved.budgets
    found = {b: _simple(profile, b) for b in budgets}
    for entry in solved.plans:
        found[entry.budget].append(Candidate("as solved", entry.plan, baseline=True))
    for name, schedule in published.items():
        for entry in schedule.plans:
            fits = schedule.grid.steps == profile.settings.run_steps and entry.budget in found
            if fits and set(profile.switches) <= set(entry.knots):
                plan = entry.plan.before(profile.steps)
                found[entry.budget].append(Candidate(name, plan, baseline=True))
    for variant in _variants(profile, max_edge):
        plans = plan_budgets(profile, variant.objective, variant.planner, budgets, variant.paths)
        for budget, outcomes in plans.items():
            found[budget] += [
                Candidate(
                    variant.name + (f", path {i + 1}" if i else ""), each.plan, variant.baseline
                )
                for i, each in enumerate(outcomes)
            ]
    return {budget: _distinct(candidates) for budget, candidates in found.items()}


def _variants(profile: Profile, longest: int) -> list[_Variant]:
    weightings = ["width", *(["propagated"] if profile.has_propagation else [])]
    variants: list[_Variant] = []
    if profile.has_l1:
        for rule in ("jvp", "released"):
            paper = Objective(
                ("hold", rule), metric="l1", weighting="none", gamma=4.0, max_edge=longest
            )
            variants.append(_Variant(f"pssp {rule}, l1, γ 4", "pssp", paper, baseline=True))
    adams = Objective(("adams",), weighting="width", gamma=4.0, max_edge=longest)
    for weighting in weightings:
        weighted = replace(adams, weighting=weighting)
        variants.append(_Variant(f"pssp adams, {weighting}, γ 4", "pssp", weighted))
        for statistic, gamma in (("mean", 1.0), ("mean", 2.0), ("mean", 4.0), ("cvar:0.9", 2.0)):
            chosen = replace(adams, weighting=weighting, statistic=statistic, gamma=gamma)
            name = f"path adams, {weighting}, {statistic}, γ {gamma:g}"
            best = weighting == weightings[-1] and (statistic, gamma) == ("mean", 4.0)
            variants.append(_Variant(name, "path", chosen, NEAREST if best else 1))
        fitted = replace(adams, predictors=("fitted",), weighting=weighting, gamma=2.0, order=3)
        variants.append(_Variant(f"path fitted, {weighting}, mean, γ 2", "path", fitted))
    return variants


def _simple(profile: Profile, budget: int) -> list[Candidate]:
    """Knots by a rule that looks at no model, but for where its denoiser changes."""
    steps, switches = profile.steps, profile.switches
    uniform = uniform_knots(steps, budget, switches)
    graded = [
        Candidate(
            f"adams, intervals × {grade:g}",
            adams_plan(graded_knots(steps, budget, grade, switches)),
        )
        for grade in GRADES
    ]
    return [
        Candidate("uniform hold", hold_plan(uniform, budget), baseline=True),
        Candidate("uniform adams", adams_plan(uniform), baseline=True),
        *graded,
    ]


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Baselines first; of equal plans, the first."""
    found: dict[object, Candidate] = {}
    for candidate in sorted(candidates, key=lambda each: not each.baseline):
        found.setdefault((candidate.plan.knots, candidate.plan.intervals), candidate)
    return list(found.values())
