"""The smallest budget whose refined plan reaches a quality when it is replayed."""

from collections.abc import Callable

from meancache_plan.core.psnr import CEILING
from meancache_plan.errors import BeatenError, InputError
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.pruning import known_quality, only, reaching


def smallest(
    schedule: Schedule, wanted: float, refined: Callable[[Schedule], Schedule]
) -> Schedule:
    """Refine budget by budget, from the one that is predicted to do; return the smallest that does.

    Args:
        schedule: Plans of the budgets to choose from.
        wanted: Mean latent PSNR that replay on validation prompts has to find, in dB.
        refined: A schedule of one budget → it refined, with its validated quality; raises
            :class:`BeatenError` where fewer steps are better.

    Raises:
        InputError: ``wanted`` is out of range, or no budget of the schedule reaches it.
    """
    if not 0 < wanted <= CEILING:
        raise InputError(f"--min-psnr {wanted:g}: give more than 0, at most {CEILING:g}")
    budgets, found = schedule.budgets, dict[int, Schedule | None]()

    def reaches(budget: int) -> bool:
        if budget not in found:
            try:
                found[budget] = refined(only(schedule, {budget}))
            except BeatenError:
                found[budget] = None
        made = found[budget]
        quality = None if made is None else known_quality(made, budget)
        return quality is not None and quality.psnr_latent >= wanted

    start = next(iter(reaching(schedule, wanted)), budgets[-1])
    for place in range(budgets.index(start), len(budgets)):
        if reaches(budgets[place]):
            break
    else:
        raise InputError(
            f"--min-psnr {wanted:g}: no budget of this schedule reaches it when replayed: ask for "
            "less, or solve with larger budgets"
        )
    while place > 0 and reaches(budgets[place - 1]):
        place -= 1
    best = found[budgets[place]]
    assert best is not None
    return best
