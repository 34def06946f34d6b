"""What is said aloud: Python's warnings, at the line that called the runtime, once a subject."""

import inspect
import warnings

BETWEEN = ("meancache_runtime", "contextlib", "diffusers", "jax", "torch")
"""Packages that call each other between a user's line and what is said of it."""


class MeanCacheWarning(UserWarning):
    """A run is not what the schedule's figures are of; the message says in what, with the fix."""


class Aloud:
    """Says things to whoever called the runtime, each once; Python's default filters show all.

    Python itself would say a message once a line, and not again for the next pipeline there.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, message: str | None, subject: str | None = None) -> None:
        """Warn, with a MeanCacheWarning.

        Args:
            message: What to say; nothing if it is None.
            subject: What was said once is not said in other words either; by default the message.
        """
        if message is None or (about := subject or message) in self._said:
            return
        self._said.add(about)
        frame = inspect.currentframe()
        while frame and frame.f_back and _package(frame.f_globals) in BETWEEN:
            frame = frame.f_back
        assert frame is not None
        where = frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__")
        warnings.warn_explicit(message, MeanCacheWarning, *where)


def _package(module: dict[str, object]) -> str:
    return str(module.get("__name__")).partition(".")[0]
