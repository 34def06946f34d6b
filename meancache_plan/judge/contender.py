"""A contender: a way to make samples, in one of its settings."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from warnings import catch_warnings, simplefilter

from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime import Attachment, MeanCacheWarning, Schedule, attach
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect

LONGEST = 220
"""Characters of a reason."""


class UnavailableError(InputError):
    """A contender cannot run on this pipeline; the message says why."""


Enter = Callable[[Pipeline], AbstractContextManager[Any]]
"""Puts a contender into a pipeline; leaving the context takes it out again."""


def plainly(_pipeline: Pipeline) -> AbstractContextManager[Any]:
    """Put nothing in."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Contender:
    """One method in one setting.

    Attributes:
        name: The method's; its settings share it.
        setting: What is special about this one, unique among them.
        steps: Sampler steps of its runs.
        enter: Puts it into a pipeline.
        budget: B of the plan that it follows, or stands beside.
        adaptive: How much it computes depends on the sample.
        source: What it follows besides its setting, such as what it was fitted on.
        schedule: What it follows, if it is a plan.
    """

    name: str
    setting: str
    steps: int
    enter: Enter = plainly
    budget: int | None = None
    adaptive: bool = False
    source: str = ""
    schedule: Schedule | None = None

    @property
    def key(self) -> str:
        """Name and setting: unique in a field."""
        return f"{self.name}: {self.setting}"

    @property
    def identity(self) -> list[Any]:
        """What tells its samples from others' of the same prompt and seed, as JSON values."""
        return [self.key, self.steps, self.budget, self.source, repr(self.schedule)]


def following(name: str, schedule: Schedule, budget: int) -> Contender:
    """The contender that follows a schedule's plan for ``budget``, with the adapters in effect."""
    model, plan = schedule.model, schedule.plan(budget)
    alone = Schedule(model, schedule.grid, (plan,))

    @contextmanager
    def enter(pipeline: Pipeline) -> Generator[Attachment]:
        known = model and replace(model, adapters=adapters_in_effect(pipeline.pipe))
        with attach(pipeline.pipe, replace(alone, model=known)) as attached, catch_warnings():
            simplefilter("ignore", MeanCacheWarning)  # it is noted as a figure
            yield attached

    setting = f"B = {budget}"
    return Contender(name, setting, schedule.grid.steps, enter, budget=budget, schedule=alone)


def unavailable(reason: str) -> Enter:
    """What puts in a contender that cannot run: it raises UnavailableError with ``reason``."""

    @contextmanager
    def enter(_pipeline: Pipeline) -> Generator[NoReturn]:
        raise UnavailableError(reason)
        yield

    return enter


def reason_of(error: Exception) -> str:
    """One line that says why a contender failed."""
    if isinstance(error, InputError) and isinstance(error.__cause__, TypeError | ValueError):
        error = error.__cause__  # the pipeline's call says so of whatever it raises
    text = str(error).strip().splitlines()
    line = text[0].strip() if text else ""
    if isinstance(error, MeanCacheError) and line:
        return line[:LONGEST]
    return f"{type(error).__name__}: {line}"[:LONGEST].rstrip(": ")
