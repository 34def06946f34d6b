"""One run of an attached pipeline: what its denoisers and schedulers are answered with."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ...errors import (
    GridMismatchError,
    NonFiniteError,
    ReplacedComponentError,
    StepCountError,
    SwitchError,
    UnsupportedSchedulerError,
)
from ...stats import ReplayStats, ReplayWarning
from .channel import Channel
from .intercept import Proxy
from .output_fitting import batch_size, fit


class Run:
    """The state of one run; it belongs to the thread that made it.

    Args:
        open_channel: Makes a :class:`Channel` for a scheduler object.
        scheduler: The pipeline's scheduler.
        stats: Counted up as the run goes on.
    """

    def __init__(
        self, open_channel: Callable[[Any], Channel], scheduler: Any, stats: ReplayStats
    ) -> None:
        self.stats = stats
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

    def denoise(self, name: str, module: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of a denoiser: run it at knots, else give its output of the last knot."""
        self.main.prepare()
        self._warn_of_entry()
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        self._called = tuple(self._calls)
        size = batch_size(args, kwargs)
        if not self.main.due:
            return self._kept(name, call, size)
        output = module(*args, **kwargs)
        self._outputs.setdefault(name, []).append((size, output))
        self.stats.denoiser_calls += 1
        return output

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
        with self._naming():
            result = self.main.step(*args, **kwargs)
        self._warn_of_entry()
        self._note_innovation()
        if not inner:
            self.stats.refreshes += due
            self.stats.cached_steps += not due
        self._calls = {}
        if self.main.due:
            self._outputs = {}
        return result

    @contextmanager
    def _naming(self) -> Generator[None]:
        """Say which of the pipeline's denoisers gave a velocity that is not finite."""
        try:
            yield
        except NonFiniteError as error:
            raise NonFiniteError(f"{' and '.join(self._called)}: {error}") from error

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

        It comes before the second knot, the first that has a bound; from then on there are none.
        """
        _refuse_per_token(kwargs)
        ahead = channel.iteration - self.main.iteration
        if ahead != -1 and not (ahead == 0 and self._calls):
            raise StepCountError(
                f"a copy of the scheduler takes step {channel.iteration} while the scheduler is "
                f"at step {self.main.iteration}: a schedule can only follow schedulers that step "
                "together, once each after the denoiser; run this pipeline without a schedule"
            )
        for each in (self.main, channel):
            each.ignore_bounds()
        self.stats.innovation = self.stats.innovation_knot = None
        with self._naming():
            result = channel.step(*args, **kwargs)
        if self.main.knots not in (None, channel.knots):
            raise GridMismatchError(
                "a copy of the scheduler starts at another noise level than the scheduler itself, "
                "so their knots differ: run this pipeline without the schedule"
            )
        return result

    def _note_innovation(self) -> None:
        machine = self.main.machine
        if machine is None or not machine.innovations.measured:
            return
        share, knot = machine.innovations.worst, machine.innovations.knot
        if self.stats.innovation is not None and share <= self.stats.innovation:
            return
        self.stats.innovation, self.stats.innovation_knot = share, self.main.start + knot
        if machine.unstable is not None:
            others = (each for each in self.stats.warnings if each.kind != "unstable")
            self.stats.warnings = (*others, ReplayWarning("unstable", machine.unstable))

    def _warn_of_entry(self) -> None:
        start = self.main.start
        if start and not any(warning.kind == "mid-grid" for warning in self.stats.warnings):
            machine = self.main.machine
            steps = start if machine is None else start + machine.plan.steps
            message = (
                f"this run enters the schedule at step {start} of {steps} (as image-to-image "
                "does): the plan's measured quality does not hold for such runs, and its bounds "
                "are not looked at (on_unstable); calibrate for this use to have a plan made for it"
            )
            self.stats.warnings += (ReplayWarning("mid-grid", message),)


def _refuse_per_token(options: dict[str, Any]) -> None:
    if options.get("per_token_timesteps") is not None:
        raise UnsupportedSchedulerError(
            "per-token timesteps cannot follow one schedule: run this pipeline without a schedule"
        )
