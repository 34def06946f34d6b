"""One run of an attached pipeline: what its denoisers and schedulers are answered with."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ...arrays import elements
from ...errors import (
    GridMismatchError,
    NonFiniteError,
    ReplacedComponentError,
    ReplayError,
    StepCountError,
    SwitchError,
    UnsupportedSchedulerError,
)
from ...requests import Verdict
from .channel import Channel
from .guiders import Kept
from .intercept import Proxy
from .notes import Notes
from .output_fitting import batch_size, fit, passes
from .stacked import check_none_enabled


class Run:
    """The state of one run; it belongs to the thread that made it.

    Args:
        open_channel: Makes a :class:`Channel` for a scheduler object.
        scheduler: The pipeline's scheduler.
        notes: Taken as the run goes on.
        verdict: What is asked for, beside what was calibrated.
        kept: Whether it stays so.
    """

    def __init__(
        self,
        open_channel: Callable[[Any], Channel],
        scheduler: Any,
        notes: Notes,
        verdict: Verdict,
        kept: Kept,
    ) -> None:
        self.stats = notes.stats
        self._notes, self._verdict, self._settings = notes, verdict, kept
        self._sizes: list[int | None] = []
        self._elements = 0
        self._told: set[str] = set()
        self._beside: list[Channel] = []
        self.main = open_channel(scheduler)
        self._open_channel = open_channel
        self._thread: int | None = threading.get_ident()
        self._calls: dict[str, int] = {}
        self._called: tuple[str, ...] = ()
        self._outputs: dict[str, list[tuple[int | None, Any]]] = {}
        self._companions: dict[str, Any] = {}

    @property
    def is_here(self) -> bool:
        """Whether the run goes on, in this very thread."""
        return self._thread == threading.get_ident()

    def end(self) -> None:
        """Let go of everything; what is left of the pipeline's loop goes on without the plan."""
        self._thread = None
        self.main = self._open_channel(self.main.scheduler)
        self._calls, self._outputs, self._companions = {}, {}, {}
        self._sizes = []

    def denoise(self, name: str, module: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of a denoiser: run it at knots, else give its output of the last knot.

        Raises:
            StackedCacheError: Another cache was enabled in it since the run began.
        """
        self.main.prepare()
        if self.main.due:
            self.settle()
        self._note_entry()
        self._note_change()
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        self._called = tuple(self._calls)
        size = batch_size(args, kwargs)
        self._sizes.append(size)
        if not self.main.due:
            return self._kept(name, call, size)
        check_none_enabled(name, module)
        output = module(*args, **kwargs)
        self._outputs.setdefault(name, []).append((size, output))
        self.stats.denoiser_calls += 1
        return output

    def settle(self) -> None:
        """Read what the latest refresh gave. Raises NonFiniteError."""
        machine = self.main.machine
        if machine is not None:
            with self._watched():
                machine.settle()

    def _kept(self, name: str, call: int, size: int | None) -> Any:
        """What answers a denoiser's call of this number (0-based), for ``size`` samples."""
        outputs = self._outputs.get(name)
        if outputs:
            had, output = outputs[min(call, len(outputs) - 1)]
            return fit(output, had, size)
        machine = self.main.machine
        step = 0 if machine is None else machine.step
        raise SwitchError(
            f"at step {step} the pipeline calls {name}, which has not run since the latest knot: "
            "it switches denoisers there, but the schedule has no knot at that step; run "
            "`meancache-plan calibrate` and `solve` with the boundary that the pipeline has now, "
            "which puts a knot where it switches"
        )

    def accompany(self, name: str, module: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of a companion of the denoiser (ControlNet): nothing reads it between knots."""
        if not self.main.due and name in self._companions:
            return self._companions[name]
        self._companions[name] = module(*args, **kwargs)
        return self._companions[name]

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """In place of ``scheduler.step``: take the guided velocity, step with û."""
        if not self._calls:
            raise ReplacedComponentError(
                "the scheduler stepped although the denoiser was not called through pipe.<name>: "
                "do not replace components during a run; a pipeline that keeps its denoiser "
                "elsewhere is not supported, use meancache_runtime.integrate"
            )
        _refuse_per_token(kwargs)
        due, inner = self.main.due, self.main.inner
        with self._watched():
            result = self.main.step(*args, **kwargs)
            self._judge_streams()
        self._note_entry()
        if not inner:
            self.stats.refreshes += due
            self.stats.cached_steps += not due
            self._look_at(_sample(*args, **kwargs))
        self._calls, self._sizes = {}, []
        if self.main.due:
            self._outputs = {}
        return result

    def _look_at(self, sample: Any) -> None:
        """Compare what only a run shows with calibration: its size, and its calls in each step."""
        assert self.main.machine is not None
        taken = self.main.machine.step
        self._elements += elements(sample) if taken == 1 else 0
        if taken == 2:
            self._note("size", self._verdict.off_size(self._elements))
        calls = passes(self._sizes, len(sample))
        self._note("calls", self._verdict.off_course(self.main.start + taken - 1, calls))

    def _note(self, subject: str, message: str | None, kind: str = "request") -> None:
        """Note a subject once; RequestMismatchError where the attachment is strict."""
        if message is not None and subject not in self._told:
            self._told.add(subject)
            self._notes.other(kind, message)

    @contextmanager
    def _watched(self) -> Generator[None]:
        """Around a step: say whose velocity is not finite; note its innovation however it ends."""
        try:
            yield
        except NonFiniteError as error:
            raise NonFiniteError(f"{' and '.join(self._called)}: {error}") from error
        finally:
            self._note_innovation()

    def copied(self, scheduler: Any) -> Proxy:
        """A copy of the scheduler that the pipeline made: a stand-in that steps with its own û."""
        channel = self._open_channel(scheduler)

        def step(*args: Any, **kwargs: Any) -> Any:
            if not self.is_here:
                return scheduler.step(*args, **kwargs)
            return self._step_beside(channel, *args, **kwargs)

        def copied_again(again: Any) -> Any:
            return self.copied(again) if self.is_here else again

        return Proxy(scheduler, {"step": step, "__copy__": copied_again})

    def _step_beside(self, channel: Channel, *args: Any, **kwargs: Any) -> Any:
        """A step of a copy, before or after the scheduler's own step of the same iteration.

        It comes before the second knot, the first that has a bound.

        Raises:
            ReplayError: Samples that stray are to be refreshed, which comes too late for the stream
                that stepped first.
        """
        _refuse_per_token(kwargs)
        ahead = channel.iteration - self.main.iteration
        if ahead != -1 and not (ahead == 0 and self._calls):
            raise StepCountError(
                f"a copy of the scheduler takes step {channel.iteration} while the scheduler is "
                f"at step {self.main.iteration}: a schedule can only follow schedulers that step "
                "together, once each after the denoiser; run this pipeline without a schedule"
            )
        self._join(channel)
        if channel.iteration == 0:
            self._elements += elements(_sample(*args, **kwargs))
        with self._watched():
            result = channel.step(*args, **kwargs)
            self._judge_streams()
        if self.main.knots not in (None, channel.knots):
            raise GridMismatchError(
                "a copy of the scheduler starts at another noise level than the scheduler itself, "
                "so their knots differ: run this pipeline without the schedule"
            )
        return result

    def _join(self, channel: Channel) -> None:
        """Let a copy's channel share the bounds with the scheduler's own."""
        if channel in self._beside:
            return
        if channel.policy == "refresh":
            raise ReplayError(
                "on_unstable 'refresh' is not for pipelines that sample two things at once, one of "
                "which has stepped before both are known: choose 'warn', 'raise' or 'ignore'"
            )
        self._beside.append(channel)
        for each in (self.main, channel):
            each.join_others()

    def _judge_streams(self) -> None:
        """Look at the bounds when all streams have taken the step of a knot. UnstableError."""
        streams = [self.main, *self._beside]
        machines = [each.machine for each in streams if each.machine is not None]
        steps = {machine.step for machine in machines}
        if len(streams) == 1 or len(machines) < len(streams) or len(steps) > 1:
            return
        knot, found = steps.pop() - 1, machines[0].innovations
        if found.measured and knot in found.bounds:
            left = found.judge(knot, [machine.innovations.squares for machine in machines])
            machines[0].act_on(left)

    def _note_innovation(self) -> None:
        """Note the largest so far; bounds are no cause for concern at another measured request."""
        machine, start = self.main.machine, self.main.start
        if machine is None or len(machine.innovations.shares) == len(self.stats.innovations):
            return
        found = machine.innovations
        self.stats.innovations = {start + knot: share for knot, share in found.shares.items()}
        if found.knot is None or found.worst == self.stats.innovation:
            return
        self.stats.innovation, self.stats.innovation_knot = found.worst, start + found.knot
        if machine.unstable is not None and self._verdict.grade != "measured":
            self._notes.unstable(machine.unstable, machine.warning)

    def _note_change(self) -> None:
        """Before a step's first call: what a callback changed in what was asked for."""
        if self._calls or self._verdict.grade is None:
            return
        machine = self.main.machine
        taken = 0 if machine is None else machine.step
        self._note("settings", self._settings.changed(self.main.start + taken))

    def _note_entry(self) -> None:
        start, machine = self.main.start, self.main.machine
        if start and machine is not None:
            message = (
                f"this run enters the schedule at step {start} of {start + machine.plan.steps} (as "
                "image-to-image does): the plan's measured quality does not hold for such runs; "
                "calibrate for this use to have a plan made for it"
            )
            self._note("entry", message, "mid-grid")


def _sample(model_output: Any, timestep: Any, sample: Any, *_: Any, **__: Any) -> Any:
    """The latents that a scheduler's step is called with."""
    return sample


def _refuse_per_token(options: dict[str, Any]) -> None:
    if options.get("per_token_timesteps") is not None:
        raise UnsupportedSchedulerError(
            "per-token timesteps cannot follow one schedule: run this pipeline without a schedule"
        )
