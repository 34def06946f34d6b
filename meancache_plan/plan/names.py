"""What planners and predictors are called: help reads it, for which nothing else is imported."""

PLANNERS = {"path": "scores what replay will do", "pssp": "is the paper's method"}
"""Those of :mod:`meancache_plan.plan.planners`, the default first, and what to know of each."""

PREDICTORS = {
    "hold": ("path", "pssp"),
    "adams": ("path", "pssp"),
    "fitted": ("path",),
    "jvp": ("pssp",),
    "released": ("pssp",),
}
"""Those of :mod:`meancache_plan.core.predictors`, and the planners that can use each."""


def planner_help() -> str:
    """The planners in words.

    Example:
        >>> planner_help()
        "path scores what replay will do, pssp is the paper's method"
    """
    return ", ".join(f"{name} {about}" for name, about in PLANNERS.items())


def predictor_help() -> str:
    """The predictors in words, by the planners that can use them.

    Example:
        >>> predictor_help()
        'hold and adams (path, pssp), fitted (path), jvp and released (pssp)'
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for name, planners in PREDICTORS.items():
        found.setdefault(planners, []).append(name)
    groups = (f"{' and '.join(names)} ({', '.join(users)})" for users, names in found.items())
    return ", ".join(groups)
