"""The candidates of a selection: plans from all planners, simple rules, and published plans."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from meancache_plan.core.grid import graded_knots, uniform_knots
from meancache_plan.core.objective import Objective
from meancache_plan.core.predictors import PREDICTORS, Raced
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.plan_budgets import plan_budgets
from meancache_plan.plan.simple_plans import adams_plan, hold_plan
from meancache_plan.schedule.artifact import Schedule
from meancache_runtime.schedule import Plan

GRADES = (0.15, 0.4, 2.5)
"""Last interval over first, for growing and shrinking intervals."""


AS_SOLVED = "as solved"
"""The name of a schedule's own plan among them."""


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
        found[entry.budget].append(Candidate(AS_SOLVED, entry.plan, baseline=True))
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
    """Of all predictors, as they are raced; the paper's, which weigh nothing, first."""
    weightings = ["width", *(["propagated"] if profile.has_propagation else [])]
    ways = [(name, way) for name, rule in PREDICTORS.items() for way in rule.raced]
    measured = [pair for pair in ways if pair[1].metric != "l1" or profile.has_l1]
    own = [_variant(*pair, longest) for pair in measured if pair[1].weighting is not None]
    return own + [
        _variant(name, way._replace(weighting=weighting, paths=paths), longest)
        for weighting in weightings
        for name, way in measured
        if way.weighting is None
        for paths in [way.paths if weighting == weightings[-1] else 1]
    ]


def _variant(predictor: str, way: Raced, longest: int) -> _Variant:
    objective = Objective(
        (*way.beside, predictor),
        way.metric,
        way.weighting or "none",
        way.statistic,
        way.gamma,
        way.order,
        longest,
    )
    weighed = way.metric if way.weighting == "none" else way.weighting
    summed = f", {way.statistic}" if way.planner == "path" else ""
    name = f"{way.planner} {predictor}, {weighed}{summed}, γ {way.gamma:g}"
    return _Variant(name, way.planner, objective, way.paths, way.baseline)


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
