"""Put a schedule into a diffusers pipeline, and take it out again."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

from .binding import BoundPlan, bind
from .errors import (
    AlreadyAttachedError,
    BudgetError,
    ReplacedComponentError,
    ReplayError,
    StepCountError,
    UnsupportedSchedulerError,
)
from .identity import check_euler, check_model, denoisers
from .intercept import Interception, is_intercepted
from .replay import Replay, ReplayStats, check_grid
from .schedule import Plan, Replayable, Schedule, as_schedule


def attach(
    pipe: Any, schedule: Schedule | Replayable, *, budget: int | None = None
) -> "Attachment":
    """Let ``pipe`` follow one plan of a schedule until it is detached.

    The denoiser then runs at the plan's knots only. All state belongs to this pipeline object;
    its components are not changed and may be shared with other pipelines.

    Args:
        pipe: A flow-matching diffusers pipeline with a FlowMatchEulerDiscreteScheduler.
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
        budget: One of ``schedule.budgets``; may be left out if there is only one.

    Returns:
        A handle: a context manager, with ``.detach()`` and ``.stats``.

    Raises:
        BudgetError: The schedule has no plan for this budget.
        AlreadyAttachedError: ``pipe`` follows a schedule already.
        UnsupportedPipelineError: ``pipe`` has no denoiser or scheduler to intercept.
        UnsupportedSchedulerError: The scheduler does not take plain Euler steps.
        ModelMismatchError: The schedule was compiled for another model.

    While attached, ``pipe(...)`` raises StepCountError or GridMismatchError for a run that the
    schedule was not made for, and ReplacedComponentError if a component was swapped.

    Example:
        >>> with attach(pipe, load_schedule("schedule.json"), budget=16):  # doctest: +SKIP
        ...     image = pipe("a red apple", num_inference_steps=50).images[0]
    """
    readable = as_schedule(schedule)
    return Attachment(pipe, readable, _choose(readable, budget))


def _choose(schedule: Schedule, budget: int | None) -> Plan:
    if budget is not None:
        return schedule.plan(budget)
    if len(schedule.budgets) > 1:
        raise BudgetError(f"say which budget: one of {', '.join(map(str, schedule.budgets))}")
    return schedule.plans[0]


class Attachment:
    """A schedule's hold on one pipeline; made by :func:`attach`.

    Attributes:
        stats: What the latest run did (:class:`ReplayStats`).
    """

    def __init__(self, pipe: Any, schedule: Schedule, plan: Plan) -> None:
        if is_intercepted(pipe):
            raise AlreadyAttachedError(
                f"this {pipe.__class__.__name__} follows a schedule already: detach() it first"
            )
        modules = denoisers(pipe)
        check_euler(pipe.scheduler)
        if schedule.model is not None:
            check_model(pipe, schedule.model)
        self.stats = ReplayStats()
        self._schedule, self._plan = schedule, plan
        self._scheduler = pipe.scheduler
        self._bound: BoundPlan | None = None
        self._running = threading.Lock()
        self._owner: int | None = None
        self._forget()
        overrides: dict[str, dict[str, Callable[..., Any]]] = {
            name: {"__call__": partial(self._denoise, module)} for name, module in modules.items()
        }
        overrides["scheduler"] = {"step": self._step}
        self._interception: Interception | None = Interception(pipe, overrides, self._run)

    def detach(self) -> None:
        """Give the pipeline back as it was found. Detaching twice does nothing."""
        if self._interception is not None:
            self._interception.remove()
            self._interception = None
        self._owner = None  # what is left of a run goes on without us
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def _forget(self) -> None:
        self._machine: Replay | None = None
        self._outputs: list[Any] = []
        self._calls = 0

    @contextmanager
    def _run(self) -> Generator[None]:
        """Around one ``pipe(...)``: start clean, and leave nothing behind however it ends."""
        if not self._running.acquire(blocking=False):
            raise ReplayError(
                "this pipeline is running already: wait for that call to end, or give every "
                "thread a pipeline of its own (they may share the models)"
            )
        try:
            if self._interception is not None:
                self._interception.check_intact()
            self.stats = ReplayStats()
            self._owner = threading.get_ident()
            yield
        finally:
            self._owner = None
            self._forget()
            self._running.release()

    def _begin(self) -> Replay:
        """At a run's first denoiser call: check the run's grid, bind the plan to it."""
        scheduler = self._scheduler
        first = scheduler.begin_index or scheduler.step_index or 0
        if first != 0:
            raise StepCountError(
                f"this run starts at step {first} of its grid (as image-to-image does); the "
                "schedule starts at step 0: compile one for this use, or run without it"
            )
        sigmas: tuple[float, ...] = tuple(scheduler.sigmas.tolist())
        check_grid(self._schedule, sigmas)
        if self._bound is None or self._bound.sigmas != sigmas:
            self._bound = bind(self._plan, sigmas)
        return Replay(self._bound)

    def _denoise(self, module: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of the denoiser: run it at knots, else give its output of the last knot."""
        if self._owner != threading.get_ident():  # a pipeline that shares this component
            return module(*args, **kwargs)
        if self._machine is None:
            self._machine = self._begin()
        self._calls += 1
        if not self._machine.due:
            return self._outputs[min(self._calls, len(self._outputs)) - 1]
        if self._calls == 1:
            self._outputs = []
        output = module(*args, **kwargs)
        self._outputs.append(output)
        self.stats.denoiser_calls += 1
        return output

    def _step(self, model_output: Any, *args: Any, **kwargs: Any) -> Any:
        """In place of ``scheduler.step``: take the guided velocity, hand on û."""
        step = self._scheduler.step
        if self._owner != threading.get_ident():
            return step(model_output, *args, **kwargs)
        machine = self._machine
        if machine is None or self._calls == 0:
            raise ReplacedComponentError(
                "the scheduler stepped although the denoiser was not called through pipe.<name>: "
                "do not replace components during a run; a pipeline that keeps its denoiser "
                "elsewhere is not supported, use meancache_runtime.integrate"
            )
        if kwargs.get("per_token_timesteps") is not None:
            raise UnsupportedSchedulerError(
                "per-token timesteps cannot follow one schedule: run this pipeline without it"
            )
        self._calls = 0
        if machine.due:
            self.stats.refreshes += 1
        else:
            self.stats.cached_steps += 1
        result = step(machine.advance(model_output), *args, **kwargs)
        if self._scheduler.step_index not in (None, machine.step):
            raise StepCountError(
                f"the scheduler is at step {self._scheduler.step_index} of its grid where the plan "
                f"is at step {machine.step}: start runs at the grid's first step, and let no "
                "other pipeline use this scheduler meanwhile"
            )
        return result
