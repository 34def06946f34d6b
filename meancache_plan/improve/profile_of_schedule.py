"""The profile that a schedule was solved from."""

from collections.abc import Sequence
from pathlib import Path

from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile, load_profile
from meancache_plan.schedule.artifact import Schedule


def profile_of(schedule: Schedule, files: Sequence[Path]) -> Profile:
    """Load the profile that a schedule was solved from.

    Args:
        schedule: Its provenance names the profile by its fingerprint.
        files: Where the profile may be; the first that is it counts.

    Raises:
        InputError: The schedule was not solved from a profile, or for another grid than that was
            measured on, or none of the files is that profile.
        ProfileError: A file is no profile.
    """
    made = schedule.calibrated
    if schedule.starting is not None:
        raise InputError(
            "these are starting plans, for which no profile was measured: calibrate the model, and "
            "refine what solve makes of that"
        )
    if made is None:
        raise InputError(
            "this schedule does not say which profile it was solved from: solve one from a profile"
        )
    if made.transferred_from is not None:
        raise InputError(
            "this schedule was solved by interpolation, for a grid other than the calibrated one: "
            "calibrate on its grid, solve from that, and refine then"
        )
    known = {file: load_profile(file) for file in files if len(files) == 1 or file.is_file()}
    for profile in known.values():
        if profile.fingerprint == made.profile:
            return profile
    if not known:
        places = " or ".join(map(str, files))
        raise InputError(f"no profile at {places}: with --profile, give the one it was solved from")
    found = ", ".join(f"{file} is {each.fingerprint[:19]}…" for file, each in known.items())
    raise InputError(
        f"the schedule was solved from another profile: from {made.profile[:19]}…, but {found}: "
        "give that one with --profile, or solve again"
    )
