"""A competitor: a way to make samples faster, in one of its settings."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

from meancache_plan.errors import InputError
from meancache_plan.source.diffusers.pipeline import Pipeline

LONGEST = 220
"""Characters of a reason."""


class UnavailableError(InputError):
    """A peer cannot run on this pipeline; the message says why."""


Enter = Callable[[Pipeline], AbstractContextManager[Any]]
"""Puts a peer into a pipeline; leaving the context takes it out again."""


def plainly(_pipeline: Pipeline) -> AbstractContextManager[Any]:
    """Put nothing in."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Peer:
    """One method in one setting.

    Attributes:
        name: The method's; its settings share it.
        setting: What is special about this one, unique among them.
        steps: Sampler steps of its runs.
        enter: Puts it into a pipeline.
        budget: A plan's budget B.
        adaptive: How much it computes depends on the sample.
        source: Identity of what it follows besides its setting, such as a schedule's digest.
    """

    name: str
    setting: str
    steps: int
    enter: Enter = plainly
    budget: int | None = None
    adaptive: bool = False
    source: str = ""

    @property
    def key(self) -> str:
        """Name and setting: unique in a field."""
        return f"{self.name}: {self.setting}"


def unavailable(reason: str) -> Enter:
    """What puts in a peer that cannot run: it raises UnavailableError with ``reason``."""

    @contextmanager
    def enter(_pipeline: Pipeline) -> Generator[NoReturn]:
        raise UnavailableError(reason)
        yield

    return enter


def reason_of(error: Exception) -> str:
    """One line that says why a peer failed."""
    if isinstance(error, InputError) and isinstance(error.__cause__, TypeError | ValueError):
        error = error.__cause__  # the pipeline's call says so of whatever it raises
    text = str(error).strip().splitlines()
    line = text[0].strip() if text else ""
    if isinstance(error, InputError) and line:
        return line[:LONGEST]
    return f"{type(error).__name__}: {line}"[:LONGEST].rstrip(": ")
