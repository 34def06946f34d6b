"""Give a plan compensated gains: see :mod:`meancache_plan.core.compensated_gains`."""

from collections.abc import Sequence
from dataclasses import replace

from meancache_plan.core.compensated_gains import compensate_gains
from meancache_plan.core.predictors import PREDICTORS, Terms
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.plan_budgets import Planned, fit_record
from meancache_plan.plan.predict import growth_by_step


def terms_to_compensate(predictors: Sequence[str]) -> Terms:
    """What the gains of plans with these predictors scale.

    Raises:
        InputError: They have no gains, or not the same ones.
    """
    found = {PREDICTORS[name].terms for name in predictors if name != "hold"}
    if len(found) == 1 and (terms := found.pop()) is not None:
        return terms
    raise InputError(
        f"compensate: no gains can be fitted of {' and '.join(predictors)}: choose adams or "
        "fitted, with hold or without"
    )


def compensated(profile: Profile, planned: Planned, terms: Terms) -> Planned:
    """The same knots with compensated gains; all of Euler's steps are exact, and stay."""
    plan = planned.plan
    if len(plan.knots) == profile.steps and not profile.settings.displaced:
        return planned
    found = compensate_gains(profile, plan.knots, growth_by_step(profile), terms)
    intervals = tuple(map(terms.scaled, found.gains))
    made = replace(plan, intervals=intervals)
    return replace(planned, plan=made, fit=fit_record(found), note=", compensated")
