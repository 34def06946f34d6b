"""Leave out plans that a smaller budget makes useless, and say so."""

from collections.abc import Callable

from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import Pruned, Quality

QualityOf = Callable[[int], float | None]
"""Budget → mean latent PSNR in dB of its plan, None if that is not known."""


def prune(schedule: Schedule, quality_of: QualityOf | None = None) -> Schedule:
    """Leave out every plan that one of a smaller budget equals or beats; note it in provenance.

    Args:
        schedule: Plans with provenance, else nothing is known of them.
        quality_of: By default what was validated by replay, or else predicted. Plans of unknown
            quality stay.
    """

    def known(budget: int) -> float | None:
        quality = known_quality(schedule, budget)
        return None if quality is None else quality.psnr_latent

    best: tuple[int, float] | None = None
    pruned: list[Pruned] = []
    for budget in schedule.budgets:
        decibels = (quality_of or known)(budget)
        if decibels is None:
            continue
        if best is None or decibels > best[1]:
            best = budget, decibels
            continue
        reason = f"{decibels:.1f} dB, where budget {best[0]} has {best[1]:.1f} dB"
        pruned.append(Pruned(budget=budget, by=best[0], reason=reason))
    kept = set(schedule.budgets) - {entry.budget for entry in pruned}
    return only(schedule, kept, tuple(pruned))


def pruned_notes(schedule: Schedule) -> list[str]:
    """One sentence for each budget that was left out: which one to use instead."""
    made = schedule.calibrated
    return [
        f"no plan for budget {entry.budget}: {entry.reason}"
        + (f"; use budget {entry.by}" if entry.by != entry.budget else "")
        for entry in (made.pruned if made is not None else ())
    ]


def known_quality(schedule: Schedule, budget: int) -> Quality | None:
    """What was validated of a plan, or else predicted."""
    record = schedule.calibrated.record(budget) if schedule.calibrated is not None else None
    return None if record is None else record.validated or record.predicted


def reaching(schedule: Schedule, wanted: float) -> list[int]:
    """Budgets whose plans are known to reach ``wanted`` dB on average, ascending."""
    found = {budget: known_quality(schedule, budget) for budget in schedule.budgets}
    return [
        budget for budget, quality in found.items() if quality and quality.psnr_latent >= wanted
    ]


def only(schedule: Schedule, kept: set[int], pruned: tuple[Pruned, ...] = ()) -> Schedule:
    """The schedule with the plans of these budgets, and what was pruned noted besides."""
    plans = tuple(plan for plan in schedule.plans if plan.budget in kept)
    made = schedule.calibrated
    if made is None:
        return schedule.model_copy(update={"plans": plans})
    changes = {
        "plans": tuple(record for record in made.plans if record.budget in kept),
        "pruned": (*made.pruned, *pruned),
    }
    made = made.model_copy(update=changes)
    return schedule.model_copy(update={"plans": plans, "provenance": made})
