"""Compile cache schedules for flow-matching models: calibrate, solve, replay, prove.

The compiler behind the ``meancache-plan`` command, as a library. What it exports is imported when
it is first used, so that the command answers at once.

Example:
    >>> import torch
    >>> from meancache_plan import profile_flow, solve
    >>> grid = [1 - i / 10 for i in range(11)]
    >>> profile = profile_flow(lambda z, sigma: z * sigma, torch.randn(2, 4), grid)
    >>> solve(profile, budgets=[4]).plans[0].budget
    4
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meancache_plan.version import __version__

if TYPE_CHECKING:
    from meancache_plan.judge.evaluate import with_measured
    from meancache_plan.live.calibrate_live import calibrate
    from meancache_plan.live.evaluate_live import evaluate
    from meancache_plan.live.refine_live import refine
    from meancache_plan.live.start_live import start
    from meancache_plan.measure.profile import Profile, load_profile, save_profile
    from meancache_plan.measure.profile_flow import profile_flow
    from meancache_plan.measure.shards import merge_profiles
    from meancache_plan.plan.planning_problem import planning_graph
    from meancache_plan.plan.solve import solve
    from meancache_plan.schedule.artifact import Schedule, load_schedule, save_schedule

__all__ = [
    "Profile",
    "Schedule",
    "__version__",
    "calibrate",
    "evaluate",
    "load_profile",
    "load_schedule",
    "merge_profiles",
    "planning_graph",
    "profile_flow",
    "refine",
    "save_profile",
    "save_schedule",
    "solve",
    "start",
    "with_measured",
]

_HOMES = {
    "Profile": "measure.profile",
    "Schedule": "schedule.artifact",
    "calibrate": "live.calibrate_live",
    "evaluate": "live.evaluate_live",
    "load_profile": "measure.profile",
    "load_schedule": "schedule.artifact",
    "merge_profiles": "measure.shards",
    "planning_graph": "plan.planning_problem",
    "profile_flow": "measure.profile_flow",
    "refine": "live.refine_live",
    "save_profile": "measure.profile",
    "save_schedule": "schedule.artifact",
    "solve": "plan.solve",
    "start": "live.start_live",
    "with_measured": "judge.evaluate",
}
"""Where each is imported from when it is first asked for."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
