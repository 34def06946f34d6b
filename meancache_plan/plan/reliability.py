"""How far a calibration can be trusted: do its prompts agree, and are there enough of them?

All draws are of whole prompts (samples of one prompt are too alike to judge each other), from a
seeded generator: equal profiles give equal figures. With a single prompt nothing can be said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from meancache_plan.core.grid import edges
from meancache_plan.core.interval_costs import sample_costs
from meancache_plan.core.objective import Objective
from meancache_plan.core.parallel_edges import Edge
from meancache_plan.core.predictors import PREDICTORS, check_predictors
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.planners import find_planner
from meancache_plan.plan.resample import Draws, Intervals, of_prompts, plan_draws, prices
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import PlanRecord, Provenance, Reliability

RANKED = 32
"""Prompts, evenly chosen, whose 496 pairs are correlated."""

DRAWS = 8
"""Draws of each number of prompts, for the regret."""

RESAMPLES = 20
"""Resampled calibrations, for the stability of knots."""

SEED = 0

MOST = 1e9
"""What a relative excess is at most: where a cost is next to nothing, its ratio says little."""


def with_reliability(profile: Profile, schedule: Schedule) -> Schedule:
    """Return the schedule with its reliability and, in the plans' records, their stability.

    Only those plans get a stability that the planner and the objective of the provenance make
    from this profile: another candidate would have to be made again in its own way.

    Raises:
        InputError: The schedule was not made from this profile, or not by a known planner.
    """
    made, objective = _made(profile, schedule)
    whole = _everything(profile)
    budgets = _planned(profile, schedule)
    [own] = plan_draws(profile, objective, made.planner, whole, budgets) if budgets else [{}]
    knots = {
        plan.budget: plan.knots
        for plan in schedule.plans
        if plan.knots == tuple(interval.start for interval in own.get(plan.budget, ()))
    }
    found = stability(profile, objective, made.planner, knots)

    def completed(entry: PlanRecord) -> PlanRecord:
        return entry.model_copy(update={"stability": found.get(entry.budget)})

    update = {
        "plans": tuple(completed(entry) for entry in made.plans),
        "reliability": assess(profile, schedule),
    }
    return schedule.model_copy(update={"provenance": made.model_copy(update=update)})


def assess(profile: Profile, schedule: Schedule) -> Reliability:
    """Measure how reliable the calibration is for a schedule's objective and budgets.

    Raises:
        InputError: The schedule was not made from this profile, or not by a known planner.
    """
    made, objective = _made(profile, schedule)
    budgets = _planned(profile, schedule)
    excess = regret(profile, objective, made.planner, budgets) if budgets else {}
    return Reliability(
        rank_correlation=rank_correlation(profile, objective),
        regret={str(prompts): value for prompts, value in excess.items()},
    )


def rank_correlation(profile: Profile, objective: Objective) -> float | None:
    """Return the mean Spearman correlation of intervals' costs between two prompts, −1 … 1.

    Over the pairs of at most 32 prompts. The intervals are those of two steps and more, each with
    every predictor of the objective; one that looks back does so as far as the interval is long
    (or as it can); those that are the same before any fit, as ``fitted`` and ``adams``, count once.
    A prompt's cost is the mean over its samples.

    Returns:
        None with a single prompt, or where a prompt's costs are all the same.
    """
    prompts = np.unique(profile.prompt_index)
    prompts = prompts[np.linspace(0, len(prompts) - 1, min(RANKED, len(prompts))).astype(int)]
    chosen = _typical_intervals(profile, objective)
    if len(prompts) < 2 or not chosen:
        return None
    costs = sample_costs(profile, objective, chosen)
    each = np.stack([costs[profile.prompt_index == prompt].mean(axis=0) for prompt in prompts])
    if (each.max(axis=1) == each.min(axis=1)).any():
        return None
    table = np.corrcoef(rankdata(each, axis=1))
    pairs = table[np.triu_indices(len(prompts), k=1)]
    return float(np.clip(pairs.mean(), -1.0, 1.0))


def _typical_intervals(profile: Profile, objective: Objective) -> list[Edge]:
    names = {PREDICTORS[name].form: name for name in objective.predictors}.values()
    longest, furthest = min(objective.max_edge, profile.steps), profile.index.max_window
    found: list[Edge] = []
    for t, s in edges(profile.steps, longest, profile.switches):
        for name in names if t and s > t + 1 else ():
            window = min(s - t, t, furthest) if PREDICTORS[name].windowed else 0
            found.append(Edge(t, s, name, window))
    return found


def regret(
    profile: Profile, objective: Objective, planner: str, budgets: Sequence[int]
) -> dict[int, float]:
    """Return by how much plans made from few prompts are worse than those made from all.

    For n = 1, 2, 4, … and half the prompts: plan from n prompts, drawn without replacement, and
    again from others, eight times (the draws for a smaller n are among those for a larger); the
    mean of C_n / C − 1, where C_n and C are what this plan and the one from all prompts cost on
    all samples. Budgets count alike, but for those whose C is 0.

    Judged on all prompts and not only on those left out, it cannot be negative. Nor is it too
    small by that: where the cost is quadratic in what is planned, with a variance v of the best
    plan from prompt to prompt, it is v·(1/n − 1/N) — as is the difference on unseen prompts, while
    judging on the prompts left out gives v·(1/n + 1/N), as C has seen them. So the regret at N/2
    is also about what the plans from all N prompts still lack.

    Returns:
        The relative excess, 0 … 1e9, for each n; empty with a single prompt.

    Raises:
        InputError: The planner is unknown or cannot meet the objective, or γ is too large.
    """
    prompts = len(np.unique(profile.prompt_index))
    sizes = sorted({prompts // 2, *(2**k for k in range(32) if 2**k <= prompts // 2)} - {0})
    if not sizes:
        return {}
    generator = np.random.default_rng(SEED)
    shuffled = [generator.permutation(prompts) for _ in range(DRAWS)]
    drawn = of_prompts(profile.prompt_index, (row[:n] for n in sizes for row in shuffled))
    draws = np.concatenate([_everything(profile), drawn])
    plans = plan_draws(profile, objective, planner, draws, budgets)
    price = prices(profile, objective, planner, (p for found in plans for p in found.values()))
    best, *others = ({b: _cost(p, price) for b, p in found.items()} for found in plans)
    excess = np.array([_excess(found, best) for found in others]).reshape(len(sizes), DRAWS)
    return dict(zip(sizes, excess.mean(axis=1).tolist(), strict=True))


def _cost(plan: Intervals, price: Mapping[Edge, float]) -> float:
    return sum(price[interval] for interval in plan)


def _excess(costs: Mapping[int, float], best: Mapping[int, float]) -> float:
    ratios = [costs[budget] / value - 1 for budget, value in best.items() if value > 0]
    return min(max(float(np.mean(ratios)), 0.0), MOST) if ratios else 0.0


def stability(
    profile: Profile,
    objective: Objective,
    planner: str,
    plans: Mapping[int, Sequence[int]],
    resamples: int = RESAMPLES,
) -> dict[int, tuple[float, ...]]:
    """Return how often a plan's knots are found again in plans from resampled calibrations.

    A bootstrap: as many prompts as there are, drawn with replacement.

    Args:
        profile: What the plans were made from.
        objective: What they minimise.
        planner: Who made them.
        plans: The knots for each budget.
        resamples: How many calibrations to draw.

    Returns:
        For each budget and knot the share of resampled calibrations, 0 … 1, whose plan for this
        budget has a knot at exactly that step; empty with a single prompt.

    Raises:
        InputError: The planner is unknown or cannot meet the objective, or γ is too large.
    """
    prompts = len(np.unique(profile.prompt_index))
    if prompts < 2 or not plans:
        return {}
    generator = np.random.default_rng(SEED)
    drawn: Iterable[NDArray[np.int64]] = generator.integers(prompts, size=(resamples, prompts))
    draws = of_prompts(profile.prompt_index, drawn)
    found = plan_draws(profile, objective, planner, draws, sorted(plans))
    return {
        budget: tuple(
            sum(any(i.start == knot for i in again[budget]) for again in found) / resamples
            for knot in knots
        )
        for budget, knots in plans.items()
    }


def _planned(profile: Profile, schedule: Schedule) -> list[int]:
    """The budgets whose plans a planner made: not the run that is the replaced sampler's own."""
    return [budget for budget in schedule.budgets if not profile.keeps_sampler(budget)]


def _everything(profile: Profile) -> Draws:
    return np.ones((1, profile.samples), dtype=np.int64)


def _made(profile: Profile, schedule: Schedule) -> tuple[Provenance, Objective]:
    """A schedule's provenance, and its objective."""
    made = schedule.calibrated
    if made is None or made.profile != profile.fingerprint:
        raise InputError("the schedule was not planned from this profile: solve it again")
    check_predictors(made.predictors, find_planner(made.planner).predictors)
    return made, Objective(**{each.name: getattr(made, each.name) for each in fields(Objective)})
