"""Whether a profile, an evaluation and pictures belong to the schedule of a report."""

from meancache_plan.errors import InputError
from meancache_plan.judge.findings import Evaluation
from meancache_plan.judge.sample_folder import Samples
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.digest import sha256_of, unmeasured_sha256_of


def check_profile(schedule: Schedule, profile: Profile) -> str | None:
    """Compare the grids; return a caution if the plans were made from another profile.

    Raises:
        InputError: The profile is of another number of steps.
    """
    measured, steps = profile.settings.run_steps, schedule.grid.steps
    if measured != steps:
        raise InputError(
            f"the profile has {measured} steps, the schedule {steps}: give the profile that it was "
            "made from"
        )
    if schedule.starting is not None:
        return "These are starting plans, made by a rule, and not from the profile shown here."
    made = schedule.calibrated
    if made is None or made.profile == profile.fingerprint:
        return None
    return "The plans were made from a profile other than the one shown here."


def check_evaluation(schedule: Schedule, evaluation: Evaluation) -> None:
    """Accept the figures of this schedule, noted in it or not.

    Noting figures in a schedule changes its bytes, hence a schedule whose plans bear exactly the
    evaluation's figures counts as the evaluated one.

    Raises:
        InputError: The figures are of another schedule.
    """
    if evaluation.schedule_sha256 in _digests(schedule) or _is_noted(schedule, evaluation):
        return
    raise InputError("the evaluation is of another schedule: evaluate this one")


def check_samples(schedule: Schedule, samples: Samples, evaluation: Evaluation | None) -> None:
    """Raises InputError if the pictures are of another schedule, or of another evaluation."""
    known = _digests(schedule)
    if evaluation is not None:
        known |= {evaluation.schedule_sha256}
    if samples.schedule_sha256 not in known:
        raise InputError(
            f"{samples.folder}: the pictures are of another schedule: evaluate this one"
        )


def _digests(schedule: Schedule) -> set[str]:
    """Of the schedule as it is, and without the figures noted in it."""
    return {sha256_of(schedule), unmeasured_sha256_of(schedule)}


def _is_noted(schedule: Schedule, evaluation: Evaluation) -> bool:
    noted = {plan.budget: plan.measured for plan in schedule.plans}
    found = evaluation.plans()
    return bool(found) and all(noted.get(budget) == each for budget, each in found.items())
