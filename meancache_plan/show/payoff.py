"""What a schedule gains, and what making it cost, in words: also where there is nothing to gain."""

import math
from itertools import pairwise

from meancache_plan.core.psnr import CEILING
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.pruning import known_quality

FEW_STEPS = 8
"""Distilled models run 4 to 8 steps; a run of no more leaves caching little."""

CLIFF = 3.0
"""Where a refresh less costs more than this, in dB of latent PSNR, a budget is too small."""


def payoff_notes(schedule: Schedule, seconds: float = 0.0) -> list[str]:
    """Whole sentences: few steps, a cliff, and when the plans have earned back what they took.

    Args:
        schedule: The schedule.
        seconds: Of one refresh where it was calibrated; 0 if that is not known.
    """
    found = few_steps_note(schedule), cliff_note(schedule), effort_note(schedule, seconds)
    return [note for note in found if note is not None]


def few_steps_note(schedule: Schedule) -> str | None:
    """Why a short run has little to gain; None of a longer one."""
    steps = schedule.grid.steps
    if steps > FEW_STEPS:
        return None
    return (
        f"{steps} steps leave caching little to gain: each moves far, so a cached one is a rough "
        f"guess, and no more than {steps - 1} runs of the denoiser can be saved; simply running "
        "fewer steps may do as well: evaluate compares"
    )


def cliff(schedule: Schedule) -> int | None:
    """The budget below which each refresh less costs more than ``CLIFF`` dB; None if none is so.

    Seen from the smallest budget on, by the figures that are known of all plans: measured, else
    validated or predicted.
    """
    known = _decibels(schedule)
    budgets, edge = sorted(known), None
    for low, high in pairwise(budgets):
        if known[high] - known[low] <= CLIFF * (high - low):
            break
        edge = high
    return edge


def cliff_note(schedule: Schedule) -> str | None:
    """Where the cliff is, with the figures on both sides of it."""
    edge = cliff(schedule)
    if edge is None:
        return None
    known = _decibels(schedule)
    below = max(budget for budget in known if budget < edge)
    return (
        f"below budget {edge} quality falls by more than {CLIFF:g} dB a refresh: "
        f"{known[edge]:.1f} dB there, {known[below]:.1f} dB at budget {below}; take {edge} or more"
    )


def effort_note(schedule: Schedule, seconds: float = 0.0) -> str | None:
    """What calibration and refinement took, and after how many samples that is earned back."""
    effort = None if schedule.calibrated is None else schedule.calibrated.effort
    if effort is None:
        return None
    parts = [f"calibration took {effort.calibration:,} runs of the denoiser"]
    if effort.refinement:
        parts.append(f"refinement {effort.refinement:,}")
    told = ", ".join(parts)
    if seconds > 0:
        told += f" ({_duration(effort.refreshes * seconds)} where it was calibrated)"
    saving = {plan.budget: schedule.grid.steps - len(plan.knots) for plan in schedule.plans}
    ends = [budget for budget in dict.fromkeys((min(saving), max(saving))) if saving[budget]]
    earned = [f"{math.ceil(effort.refreshes / saving[b]):,} samples at budget {b}" for b in ends]
    return f"{told}; earned back after {' or '.join(earned)}" if earned else told


def _decibels(schedule: Schedule) -> dict[int, float]:
    """Budget → mean latent PSNR, without what is as good as the full run."""
    measured = {p.budget: p.measured.psnr_latent for p in schedule.plans if p.measured is not None}
    if len(measured) < len(schedule.plans):
        found = {plan.budget: known_quality(schedule, plan.budget) for plan in schedule.plans}
        measured = {budget: q.psnr_latent for budget, q in found.items() if q is not None}
    return {budget: decibels for budget, decibels in measured.items() if decibels < CEILING}


def _duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
