"""What a user wishes for, as budgets: so many refreshes, so fast, so many seconds, or so good."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from meancache_plan.core.psnr import CEILING
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.pruning import known_quality, only, prune, reaching
from meancache_plan.source.recipe import find_recipe, parse_numbers

Planning = Callable[[Sequence[int]], Schedule]
"""Budgets → their schedule: :func:`meancache_plan.plan.solve.solve` with all else chosen."""

WISHES = "--budget, --speedup, --max-seconds, --min-psnr, --all"
"""The options that wish for budgets: the fields of :class:`Wish`."""

SLACK = 1e-9
"""What a quotient may fall short of a whole number by rounding, relative to it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish, or none; the others are None or False.

    Attributes:
        budget: Denoiser refreshes: ``"16"``, ``"8,10,13"`` or ``"8-25"``.
        speedup: T/B at least: how many times fewer refreshes than steps.
        max_seconds: B steps at most as long as this, by the device that calibrated; what is not
            a step (text encoder, VAE) takes its time besides.
        min_psnr: The smallest budget whose predicted mean latent PSNR, the central estimate,
            reaches this, in dB.
        all: Every budget that makes sense.

    Raises:
        InputError: More than one wish is given.
    """

    budget: str | None = None
    speedup: float | None = None
    max_seconds: float | None = None
    min_psnr: float | None = None
    all: bool = False

    def __post_init__(self) -> None:
        """Refuse wishes that may contradict each other."""
        if len(self.given) > 1:
            named = " and ".join(f"--{name}" for name in self.given)
            raise InputError(f"{named} cannot be combined: give exactly one")

    @property
    def given(self) -> dict[str, str | float | bool]:
        """The wish by its option's name; empty if there is none."""
        named = {name.replace("_", "-"): value for name, value in asdict(self).items()}
        return {n: value for n, value in named.items() if value is not None and value is not False}


def recipe_wish(profile: Profile) -> Wish:
    """What the recipe of the profile's model wants compiled, for a user who asks for nothing.

    Raises:
        InputError: No recipe names budgets for this model and as many steps.
    """
    model = profile.settings.model
    found = find_recipe("" if model is None else model.id, None)
    steps = profile.settings.run_steps
    if found.budgets is None or found.steps != steps:
        named = "" if model is None else f" for {model.id}"
        raise InputError(
            f"nothing was asked for, and no recipe names budgets{named} at {steps} steps: "
            f"give exactly one of {WISHES}"
        )
    return Wish(budget=found.budgets)


class Answer(NamedTuple):
    """A schedule, and how it meets the wish where that has to be said: whole sentences."""

    schedule: Schedule
    notes: tuple[str, ...] = ()


def fulfil(wish: Wish, profile: Profile, plan: Planning, *, max_edge: int | None = None) -> Answer:
    """Plan what is wished for, without plans that a smaller budget makes useless.

    Args:
        wish: The wish.
        profile: What ``plan`` plans from.
        plan: Plans budgets.
        max_edge: Longest interval that ``plan`` may use, in steps; the profile's own by default.

    Raises:
        InputError: No wish is given, or it cannot be met on this profile; the message says
            what can be.
    """
    budgets = budgets_for(wish, profile, max_edge=max_edge)
    if wish.min_psnr is not None:
        return _good_enough(plan(budgets), wish.min_psnr)
    schedule = prune(plan(budgets))
    if wish.max_seconds is None:
        return Answer(schedule)
    return Answer(schedule, (_arithmetic(budgets[0], wish.max_seconds, profile),))


def budgets_for(wish: Wish, profile: Profile, *, max_edge: int | None = None) -> tuple[int, ...]:
    """Return the budgets to plan for a wish, ascending; for ``min_psnr`` those to choose from.

    Raises:
        InputError: No wish is given, or no budget meets it.
    """
    steps = profile.steps
    if not wish.given:
        raise InputError(f"nothing was asked for: give exactly one of {WISHES}")
    if wish.budget is not None:
        return parse_numbers(wish.budget, "--budget")
    if wish.speedup is not None:
        return (_fast_enough(wish.speedup, steps),)
    if wish.max_seconds is not None:
        return (_short_enough(wish.max_seconds, profile),)
    if wish.min_psnr is not None and not 0 < wish.min_psnr <= CEILING:
        raise InputError(f"--min-psnr {wish.min_psnr:g}: give more than 0, at most {CEILING:g}")
    if steps < 3:
        raise InputError(f"{steps} steps leave no choice of a budget: give --budget")
    longest = max(1, max_edge or profile.index.max_edge)
    return tuple(range(min(max(2, math.ceil(steps / longest)), steps - 1), steps))


def _fast_enough(speedup: float, steps: int) -> int:
    if not 1 <= speedup <= steps:
        raise InputError(f"--speedup {speedup:g}: {steps} steps allow 1 to {steps} times")
    return math.floor(steps / speedup * (1 + SLACK))


def _short_enough(seconds: float, profile: Profile) -> int:
    each, steps = profile.seconds_per_step, profile.steps
    if each == 0:
        raise InputError("--max-seconds: this profile has no timings: use --budget or --speedup")
    if not seconds >= each:
        raise InputError(
            f"--max-seconds {seconds:g}: a single step takes {each:.3g} s: give more, or calibrate "
            "on a faster device"
        )
    if seconds >= each * steps:
        raise InputError(
            f"--max-seconds {seconds:g}: all {steps} steps take {each * steps:.3g} s: no schedule "
            "is needed; give less to have one"
        )
    return math.floor(seconds / each * (1 + SLACK))


def _arithmetic(budget: int, seconds: float, profile: Profile) -> str:
    each = profile.seconds_per_step
    return (
        f"--max-seconds {seconds:g}: {budget} refreshes × {each:.3g} s per step = "
        f"{budget * each:.3g} s, in place of {profile.steps} × {each:.3g} s = "
        f"{profile.steps * each:.3g} s; text encoders and decoder come on top"
    )


def _good_enough(schedule: Schedule, wanted: float) -> Answer:
    """The smallest budget whose plan is predicted to reach ``wanted`` dB, alone."""
    reached = reaching(schedule, wanted)
    if not reached:
        known = {plan.budget: known_quality(schedule, plan.budget) for plan in schedule.plans}
        decibels = {budget: q.psnr_latent for budget, q in known.items() if q is not None}
        best = max(decibels, key=lambda budget: decibels[budget])
        raise InputError(
            f"--min-psnr {wanted:g}: no budget is predicted to reach it; the best, {best}, gets "
            f"{decibels[best]:.1f} dB: ask for less, or run all {schedule.grid.steps} steps"
        )
    quality = known_quality(schedule, reached[0])
    assert quality is not None
    note = (
        f"budget {reached[0]} is the smallest predicted to reach {wanted:g} dB on average: "
        f"{quality.psnr_latent:.1f} dB, at worst {quality.low:.1f}, at best {quality.high:.1f}; "
        "replay may differ: check it with evaluate, or let refine --min-psnr look for it"
    )
    return Answer(only(schedule, {reached[0]}), (note,))
