"""Bars that a benchmark sets itself: said to be met or missed, and the exit status for it."""

MISSED = 3
"""The exit status of a benchmark that ran to its end and missed a bar."""


def met(what: str, value: float, good: bool, bar: str) -> bool:
    """Say whether a bar is met, and pass it on."""
    print(f"{'met   ' if good else 'MISSED'} {what}: {value:.2f} (to be {bar})")
    return good
