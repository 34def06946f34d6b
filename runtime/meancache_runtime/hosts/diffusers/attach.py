"""Put a schedule into a diffusers pipeline, and take it out again."""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Self

from ...aloud import Aloud
from ...annotations import Also
from ...binding import bind
from ...call_settings import completed, settings, stated
from ...errors import (
    AlreadyAttachedError,
    BudgetError,
    ModelMismatchError,
    ReplayError,
)
from ...innovation import OnUnstable, check_policy
from ...other_adapters import other_adapters
from ...requests import Verdict, check_comparable, compare, recognised
from ...schedule import Adapter, Plan, Replayable, Schedule, as_schedule, load_schedule
from ...snapshot import beside
from ...stats import ReplayStats, ReplayWarning
from .adapters import adapters_in_effect
from .channel import Channel
from .guiders import Kept, defaults, guider_settings
from .identity import check_model, check_samples_itself, companions, denoisers
from .intercept import Interception, is_intercepted
from .notes import Notes
from .precision import precision
from .refreshing import check_may_refresh
from .run import Run
from .sampler import check_sampler
from .sampler import overrides as scheduler_overrides
from .stacked import check_alone


def attach(
    pipe: Any,
    schedule: Schedule | Replayable | None = None,
    *,
    budget: int | None = None,
    strict: bool = False,
    on_unstable: OnUnstable = "warn",
) -> "Attachment":
    """Let ``pipe`` follow one plan of a schedule until it is detached.

    The denoiser then runs at the plan's knots only. All state belongs to this pipeline object;
    its components are not changed and may be shared with other pipelines.

    Args:
        pipe: A flow-matching diffusers pipeline, with the sampler that the schedule is for.
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own; by
            default ``meancache_schedule.json`` beside the weights that ``pipe`` was loaded from.
        budget: One of ``schedule.budgets``; may be left out if there is only one.
        strict: Refuse what is otherwise a warning in ``.stats.warnings`` of every run: other
            adapters (LoRA) than the schedule was compiled with, by a sample of their weights and by
            scale, a request that is neither the calibrated one nor one of those that the schedule
            was measured at (see :mod:`meancache_runtime.requests`), and a run that begins in
            mid-grid. Adapters whose weights here or there could not be read are refused too, which
            are else compared by name.
        on_unstable: What happens where a sample moves otherwise than the calibration samples did
            (see :mod:`meancache_runtime.innovation`): ``"warn"`` notes it in ``.stats.warnings``,
            and warns once; ``"refresh"`` has the denoiser run at every step from there on, until a
            knot where all samples of the batch are back within the schedule's bounds; ``"raise"``
            ends the run with UnstableError; ``"ignore"`` does not look. A run that enters the
            schedule in mid-grid is looked at from the knots on whose velocities are promised from
            the plan's own knots; two streams (LTX-2) are looked at together, and not refreshed.

    Returns:
        A handle: a context manager, with ``.detach()`` and ``.stats``.

    Raises:
        ScheduleNotFoundError: No schedule is given, and none lies beside the weights.
        BudgetError: The schedule has no plan for this budget.
        AlreadyAttachedError: ``pipe`` follows a schedule already.
        UnsupportedPipelineError: ``pipe`` has no denoiser or scheduler to intercept, or samples
            with others beside it.
        UnsupportedSchedulerError: The schedule was made for another sampler, or the scheduler
            is one that no schedule can follow.
        ModelMismatchError: The schedule was compiled for another model.
        StackedCacheError: Another cache is at work in a denoiser.
        RequestMismatchError: To be strict, and the schedule does not say what was calibrated.
        ReplayError: ``on_unstable`` is unknown, not for schedules of this sampler or for weights
            that processes share, or is to act and the plan has no bounds.

    While attached, ``pipe(...)`` raises StepCountError or GridMismatchError for a run that the
    schedule was not made for, SwitchError for one that switches denoisers where it has no knot,
    StackedCacheError if another cache was or is put into one, RequestMismatchError if it is strict,
    NonFiniteError for a velocity with NaN or infinite values at a knot, UnstableError if it is to,
    and ReplacedComponentError if a component was swapped.

    Example:
        >>> with attach(pipe, load_schedule("schedule.json"), budget=16):  # doctest: +SKIP
        ...     image = pipe("a red apple", num_inference_steps=50).images[0]
    """
    readable = as_schedule(load_schedule(beside(pipe)) if schedule is None else schedule)
    plan = _choose(readable, budget)
    check_comparable(readable, strict)
    check_policy(on_unstable, plan.knots, plan.innovation)
    if on_unstable == "refresh":
        check_may_refresh(pipe, readable.grid.displaced)
    return Attachment(pipe, readable, plan, strict, on_unstable)


def _choose(schedule: Schedule, budget: int | None) -> Plan:
    if budget is not None:
        return schedule.plan(budget)
    if len(schedule.budgets) > 1:
        raise BudgetError(f"say which budget: one of {', '.join(map(str, schedule.budgets))}")
    return schedule.plans[0]


def _denoisers_for(pipe: Any, schedule: Schedule) -> dict[str, Any]:
    """The denoisers of a pipeline that can follow a schedule; any other is refused by name."""
    if is_intercepted(pipe):
        raise AlreadyAttachedError(
            f"this {pipe.__class__.__name__} follows a schedule already: detach() it first"
        )
    modules = denoisers(pipe)
    check_samples_itself(pipe)
    check_sampler(pipe.scheduler, schedule.grid.replaces)
    check_alone(pipe)
    if schedule.model is not None:
        check_model(pipe, schedule.model)
    return modules


class Attachment:
    """A schedule's hold on one pipeline; made by :func:`attach`.

    Attributes:
        stats: What the latest run did (:class:`ReplayStats`).
    """

    def __init__(
        self, pipe: Any, schedule: Schedule, plan: Plan, strict: bool, on_unstable: OnUnstable
    ) -> None:
        modules = _denoisers_for(pipe, schedule)
        self._pipe, self._schedule, self._strict = pipe, schedule, strict
        self._budget = plan.budget
        self._made = completed(schedule, defaults(pipe))
        self._scheduler = pipe.scheduler
        bind_here = lru_cache(maxsize=4)(partial(bind, displaced=schedule.grid.displaced))
        self._open_channel = partial(
            Channel, schedule=schedule, plan=plan, bind=bind_here, on_unstable=on_unstable
        )
        self._aloud = Aloud()
        self._running = threading.Lock()
        self._run: Run | None = None
        self.stats = ReplayStats()
        other = self._other_adapters(self._adapters(), schedule.also.get(plan.budget, ()))
        if other is not None:
            self.stats = ReplayStats(
                request="unknown", warnings=(ReplayWarning("adapters", other),)
            )
        self._interception: Interception | None = Interception(
            pipe, self._overrides(modules, companions(pipe)), self._around
        )

    def detach(self) -> None:
        """Give the pipeline back as it was found. Detaching twice does nothing."""
        if self._interception is not None:
            self._interception.remove()
            self._interception = None
        self._end()  # what is left of a run goes on without us

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def _overrides(
        self, modules: dict[str, Any], beside: dict[str, Any]
    ) -> dict[str, dict[str, Callable[..., Any]]]:
        """What is called in place of the pipeline's components; see :class:`Interception`."""
        overrides: dict[str, dict[str, Callable[..., Any]]] = {}
        for name, module in modules.items():
            overrides[name] = {"__call__": self._answering(Run.denoise, name, module)}
        for name, module in beside.items():
            overrides[name] = {"__call__": self._answering(Run.accompany, name, module)}
        steps = {"step": self._step, "__copy__": self._copied}
        overrides["scheduler"] = scheduler_overrides(self._scheduler, steps)
        return overrides

    def _answering(
        self, answer: Callable[..., Any], name: str, module: Callable[..., Any]
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            run = self._here()
            if run is None:  # a pipeline that shares this component
                return module(*args, **kwargs)
            return answer(run, name, module, *args, **kwargs)

        return call

    def _step(self, *args: Any, **kwargs: Any) -> Any:
        run = self._here()
        return self._scheduler.step(*args, **kwargs) if run is None else run.step(*args, **kwargs)

    def _copied(self, scheduler: Any) -> Any:
        """What somebody who copies the scheduler gets; in a run, a stand-in that follows it."""
        run = self._here()
        return scheduler if run is None else run.copied(scheduler)

    def _here(self) -> Run | None:
        """The run that is going on in this thread."""
        run = self._run
        return run if run is not None and run.is_here else None

    @contextmanager
    def _around(self, asked: Mapping[str, Any]) -> Generator[None]:
        """Around one ``pipe(...)``: start clean, and leave nothing behind however it ends."""
        if not self._running.acquire(blocking=False):
            raise ReplayError(
                "this pipeline is running already: wait for that call to end, or give every "
                "thread a pipeline of its own (they may share the models)"
            )
        try:
            if self._interception is not None:
                self._interception.check_intact()
                check_sampler(self._scheduler, self._schedule.grid.replaces)
                check_alone(self._pipe)
            notes = Notes(self._aloud, self._strict)
            self.stats = notes.stats
            before = self._adapters()
            verdict = self._compare(asked, before, notes)
            kept = Kept(self._pipe, asked)
            run = self._run = Run(self._open_channel, self._scheduler, notes, verdict, kept)
            yield
            run.settle()  # it may have been interrupted
            self._check_kept(before, notes)
            if self._interception is not None:
                check_alone(self._pipe)  # one that was hooked in by hand enables nothing
        finally:
            self._end()
            self._running.release()

    def _compare(self, asked: Mapping[str, Any], here: Sequence[Adapter], notes: Notes) -> Verdict:
        """Grade a call, note in what it is unknown and say it aloud, or refuse it.

        Raises:
            RequestMismatchError, ModelMismatchError: The attachment is strict, and it is unknown.
        """
        seen = {**stated(asked, self._made.generation), **precision(self._pipe)}
        seen["adapters"] = recognised(here)
        every = settings(asked) | guider_settings(self._pipe) if asked else None
        verdict = compare(seen, self._made, self._budget, every)
        notes.stats.request = verdict.grade
        other = self._other_adapters(here, verdict.measured)
        if other is not None:
            notes.other("adapters", other)
        for message in verdict.messages:
            notes.other("request", message)
        return verdict

    def _check_kept(self, before: Sequence[Adapter], notes: Notes) -> None:
        """Note that a run changed its adapters; ModelMismatchError if the attachment is strict."""
        if other_adapters(self._adapters(), before) is None:
            return
        message = (
            "adapters were loaded, removed or scaled while the pipeline ran: the schedule carried "
            "velocities of one model over to another; change them between runs, or run without "
            "the schedule"
        )
        if self._strict:
            raise ModelMismatchError(message)
        notes.other("adapters", message)

    def _adapters(self) -> tuple[Adapter, ...]:
        """Those in effect now; none where the schedule is for any model, and does not ask."""
        return () if self._schedule.model is None else adapters_in_effect(self._pipe)

    def _other_adapters(self, here: Sequence[Adapter], measured: Sequence[Also]) -> str | None:
        """What to say of adapters that are neither the schedule's nor those of what was measured.

        Raises:
            ModelMismatchError: The attachment is strict, and they are such, or cannot be compared.
        """
        model, known = self._schedule.model, recognised(here)
        if model is None or (known and known in (row.request.get("adapters") for row in measured)):
            return None
        message = other_adapters(here, model.adapters, strict=self._strict)
        if message is not None and self._strict:
            raise ModelMismatchError(message)
        return message

    def _end(self) -> None:
        if self._run is not None:
            self._run.end()
            self._run = None
