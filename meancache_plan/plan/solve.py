"""From a profile to a schedule: one call that plans every budget."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.compensated_gains import ORDER
from meancache_plan.core.innovation import bounds, innovations, spread
from meancache_plan.core.objective import Objective
from meancache_plan.errors import InputError, check_kind, check_list, check_whole
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.compensate import compensated, terms_to_compensate
from meancache_plan.plan.plan_budgets import Planned, plan_budgets
from meancache_plan.plan.planning_problem import PLANNER, Choices, objective_of
from meancache_plan.plan.predict import predict
from meancache_plan.plan.simple_plans import hold_plan
from meancache_plan.schedule.artifact import Grid, PlanEntry, Schedule
from meancache_plan.schedule.provenance import Effort, Innovation, PlanRecord, Provenance
from meancache_plan.version import __version__
from meancache_runtime.schedule import Plan

TOLERANCE = 0.05
"""How far a run's σ may be from the schedule's: about what another aspect ratio shifts them."""


def solve(
    profile: Profile,
    budgets: Iterable[int],
    *,
    compensate: bool | None = None,
    **choices: Unpack[Choices],
) -> Schedule:
    """Plan every budget and return the schedule; deterministic, and needs no GPU.

    The paper's own method is ``planner="pssp", predictors=("hold", "jvp"), metric="l1",
    weighting="none"``.

    Args:
        profile: What calibration measured.
        budgets: Denoiser refreshes B, each in 1 … T; in any order, repeats count once.
        compensate: Whether plans get gains by which each interval makes up for what those before
            it missed, fitted on the profile: see :mod:`meancache_plan.core.compensated_gains`. By
            default they do, unless ``predictors`` or another ``order`` are chosen.
        choices: How to plan: see :class:`meancache_plan.plan.planning_problem.Choices`.

    Raises:
        InputError: An argument is out of range or unknown, T is out of reach for a budget, or the
            profile has not measured what is asked for.
    """
    check_kind("compensate", compensate, (bool, type(None)), "give True or False")
    order = choices.get("order", 2)
    if compensate and order != 2:
        raise InputError(
            f"order {order}: compensated gains have {ORDER} terms where so many knots are known: "
            "leave order as it is, or ask for no compensated gains"
        )
    objective = objective_of(profile, **choices)
    if compensate is None:
        compensate = choices.get("predictors") is None and order == 2
    planner = choices.get("planner", PLANNER)
    wanted = check_budgets(budgets, objective.max_edge, profile.steps, profile.switches)
    found = plan_budgets(profile, objective, planner, wanted)
    plans = {budget: best for budget, (best, *_) in found.items()}
    if compensate:
        terms = terms_to_compensate(objective.predictors)
        plans = {budget: compensated(profile, best, terms) for budget, best in plans.items()}
    kept = {b: Planned(every_step(b), 0.0) for b in wanted if profile.keeps_sampler(b)}
    return assemble(profile, planner, objective, plans | kept)


def every_step(steps: int) -> Plan:
    """The plan of a run that is the sampler's own."""
    return hold_plan(range(steps))


def assemble(
    profile: Profile, planner: str, objective: Objective, outcomes: dict[int, Planned]
) -> Schedule:
    """The schedule of these plans, with its provenance."""
    seen = {budget: _bounded(profile, each.plan) for budget, each in outcomes.items()}
    name = f"{planner}, {objective.weighting}, {objective.statistic}, γ {objective.gamma:g}"
    return Schedule(
        model=profile.settings.model,
        grid=_grid(profile),
        generation=profile.settings.generation,
        plans=tuple(PlanEntry.of(seen[b][0], each.cost) for b, each in outcomes.items()),
        provenance=Provenance(
            tool=f"meancache-plan {__version__}",
            profile=profile.fingerprint,
            transferred_from=profile.settings.transferred_from,
            samples=profile.samples,
            planner=planner,
            **asdict(objective),
            plans=tuple(
                PlanRecord(
                    budget=budget,
                    origin=name + outcome.note,
                    fit=outcome.fit,
                    innovation=seen[budget][1],
                    predicted=predict(profile, outcome.plan, outcome.fit),
                )
                for budget, outcome in outcomes.items()
            ),
            effort=_effort(profile),
        ),
    )


def _grid(profile: Profile) -> Grid:
    settings = profile.settings
    return Grid(
        steps=settings.run_steps,
        sigmas=settings.run_sigmas,
        tolerance=TOLERANCE,
        replaces=settings.replaces,
        finer_steps=settings.finer_steps,
        switches=settings.switches,
    )


def bounded(
    plan: Plan, found: NDArray[np.float64], prompts: NDArray[np.int64], *, replayed: bool
) -> tuple[Plan, Innovation]:
    """A plan with the bounds of its innovations, and what they were.

    Args:
        plan: The plan, of N knots.
        found: Innovations of samples, float64 [S, N − 1]; those that are not finite do not count.
        prompts: Which prompt each sample is of, int64 [S].
        replayed: Whether they are of replays, not of recorded trajectories.
    """
    finite = np.isfinite(found).all(axis=1)
    found, prompts = found[finite], prompts[finite]
    told = {name: tuple(values.tolist()) for name, values in spread(found)._asdict().items()}
    record = Innovation(samples=len(found), replayed=replayed, **told)
    return replace(plan, innovation=bounds(found, prompts)), record


def _bounded(profile: Profile, plan: Plan) -> tuple[Plan, Innovation]:
    """As the recorded trajectories tell them, which replay leaves a little."""
    found = innovations(profile.sigmas, plan.knots, profile.grams)
    return bounded(plan, found, profile.prompt_index, replayed=False)


def _effort(profile: Profile) -> Effort | None:
    """What calibration took; of a profile that was carried over to another grid, it is not told."""
    if profile.settings.transferred_from is not None:
        return None
    return Effort(calibration=profile.refreshes)


def check_budgets(
    budgets: Iterable[int], max_edge: int, steps: int, switches: Sequence[int] = ()
) -> list[int]:
    """Return the budgets ascending and distinct.

    Raises:
        InputError: No budget is given, one is out of range, or edges are so short, or end at so
            many ``switches``, that a budget's path cannot reach T.
    """
    given = check_list("budgets", budgets, "give a list, such as [16]")
    wanted = sorted({check_whole("a budget", budget) for budget in given})
    if not wanted:
        raise InputError("no budget: give at least one")
    for budget in wanted:
        if not 1 <= budget <= steps:
            raise InputError(f"budget {budget} is out of range: choose 1 to {steps}, the steps")
    if len(switches) >= wanted[0]:
        raise InputError(
            f"budget {wanted[0]}: another denoiser takes over at step "
            f"{', '.join(map(str, switches))}, where it has to run: choose {len(switches) + 1} "
            "or more"
        )
    stretches = [b - a for a, b in pairwise((0, *switches, steps))]
    if sum(math.ceil(stretch / max_edge) for stretch in stretches) > wanted[0]:
        needed = next(
            edge
            for edge in range(max_edge, steps + 1)
            if sum(math.ceil(stretch / edge) for stretch in stretches) <= wanted[0]
        )
        raise InputError(
            f"budget {wanted[0]}: {wanted[0]} intervals of at most {max_edge} steps do not reach "
            f"step {steps}; choose max_edge {needed} or more, or a larger budget"
        )
    return wanted
