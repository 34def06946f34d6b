"""Which schedule it is: digests of its canonical bytes."""

import hashlib

from meancache_plan.schedule.artifact import Schedule, to_bytes


def sha256_of(schedule: Schedule) -> str:
    """``sha256:…`` of the file that ``save_schedule`` writes."""
    return "sha256:" + hashlib.sha256(to_bytes(schedule)).hexdigest()


def unmeasured_sha256_of(schedule: Schedule) -> str:
    """The same, of the schedule without the figures noted in its plans."""
    bare = tuple(plan.model_copy(update={"measured": None, "also": ()}) for plan in schedule.plans)
    return sha256_of(schedule.model_copy(update={"plans": bare}))
