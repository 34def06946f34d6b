"""Compile cache schedules for flow-matching models: calibrate, solve, replay, prove.

The compiler behind the ``meancache-plan`` command, as a library:

Example:
    >>> import torch
    >>> from meancache_plan import profile_flow, solve
    >>> grid = [1 - i / 10 for i in range(11)]
    >>> profile = profile_flow(lambda z, sigma: z * sigma, torch.randn(2, 4), grid)
    >>> solve(profile, budgets=[4]).plans[0].budget
    4
"""

from meancache_plan.measure.calibrate import calibrate, profile_flow
from meancache_plan.measure.profile import Profile, load_profile, save_profile
from meancache_plan.measure.shards import merge_profiles
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule, load_schedule, save_schedule
from meancache_plan.version import __version__

__all__ = [
    "Profile",
    "Schedule",
    "__version__",
    "calibrate",
    "load_profile",
    "load_schedule",
    "merge_profiles",
    "profile_flow",
    "save_profile",
    "save_schedule",
    "solve",
]
