"""What one run is noted for: in its figures, and aloud."""

from ...aloud import Aloud
from ...requests import refuse
from ...stats import ReplayStats, ReplayWarning


class Notes:
    """Notes of one run, each written when it is known.

    Args:
        aloud: Says what is noted, once an attachment.
        strict: Whether to refuse a run that is other than what was calibrated.

    Attributes:
        stats: Where the notes are.
    """

    def __init__(self, aloud: Aloud, strict: bool) -> None:
        self.stats = ReplayStats()
        self._aloud, self._strict = aloud, strict

    def other(self, kind: str, message: str) -> None:
        """Note in what a run is other than what was calibrated; RequestMismatchError if strict."""
        warning = ReplayWarning(kind, refuse(message, self._strict))
        self.stats.request = "unknown"
        self.stats.warnings += (warning,)
        self._aloud.say(message)

    def unstable(self, message: str, warning: str | None) -> None:
        """Note where a sample left its bounds farthest so far, and say the first time aloud."""
        others = (each for each in self.stats.warnings if each.kind != "unstable")
        self.stats.warnings = (*others, ReplayWarning("unstable", message))
        self._aloud.say(warning, "unstable")
