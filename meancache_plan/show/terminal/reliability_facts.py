"""How far to trust a calibration, in words: for a profile, a schedule, and a plan's knots."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from meancache_plan.measure.profile import Profile
from meancache_plan.plan.reliability import assess
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.provenance import Reliability

SHARES = (6, 4, 3)
"""A profile is assessed for plans of a sixth, a quarter and a third of its steps."""


def profile_facts(profile: Profile) -> dict[str, str]:
    """Whether its prompts agree and suffice, for the usual plans; empty with a single prompt."""
    prompts = len(np.unique(profile.prompt_index))
    if prompts < 2:
        return {}
    steps = profile.steps
    fewest = math.ceil(steps / profile.index.max_edge)
    budgets = sorted({max(fewest, round(steps / share)) for share in SHARES})
    found = assess(profile, solve(profile, budgets, compensate=False))
    sizes = _ascending(found.regret)
    costs = ", ".join(_percent(found.regret[size]) for size in sizes)
    facts = _agreement(found)
    facts["regret"] = (
        f"plans from n = {', '.join(sizes)} prompts cost {costs} more than from all {prompts} "
        f"(budgets {', '.join(map(str, budgets))})"
    )
    return facts


def schedule_facts(found: Reliability | None) -> dict[str, str]:
    """The same in one line, as the schedule's provenance has it; empty where it has nothing."""
    if found is None:
        return {}
    parts = list(_agreement(found).values())
    parts += [
        f"plans from n = {size} prompts cost {_percent(found.regret[size])} more"
        for size in _ascending(found.regret)[-1:]
    ]
    return {"reliability": "; ".join(parts)} if parts else {}


def start_words(source: str) -> str:
    """What starting plans are, that were carried over from ``source``."""
    return (
        f"a starting plan's rule, carried over from {source}; nobody has calibrated this model: "
        "calibrate and solve for plans of its own"
    )


def stability_note(knots: Sequence[int], stability: Sequence[float] | None) -> str | None:
    """How often resampled calibrations give these knots; None if it is not known.

    The first knot is left out: every plan has it.
    """
    if stability is None or len(stability) != len(knots) or len(knots) < 2:
        return None
    shares = stability[1:]
    least = min(shares)
    if least == max(shares):
        return f"knots found again in {least:.0%} of resampled calibrations"
    return (
        f"knots found again in {least:.0%} to {max(shares):.0%} of resampled calibrations; "
        f"least sure: step {knots[1 + shares.index(least)]}"
    )


def _agreement(found: Reliability) -> dict[str, str]:
    if found.rank_correlation is None:
        return {}
    rho = f"Spearman's ρ {found.rank_correlation:.2f}"
    return {"agreement": f"prompts rank intervals by their costs alike, {rho}"}


def _ascending(regret: Mapping[str, float]) -> list[str]:
    """Numbers of prompts, as a file names them: they may be anything."""
    return sorted(regret, key=lambda size: (len(size), size))


def _percent(excess: float) -> str:
    if excess >= 10:
        return "over 1000%"
    if 0 < excess < 0.0005:
        return "under 0.1%"
    return f"{excess:.0%}" if excess >= 0.0995 else f"{excess:.1%}"
