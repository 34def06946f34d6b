"""A pipeline's whole run, step by step: recorded, or only looked at."""

import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from meancache_plan.core.trajectory import Tape, Trajectory, joined, known, switches
from meancache_plan.errors import InputError
from meancache_plan.source.diffusers.interception import Answers, Step, intercepted
from meancache_runtime.hosts.diffusers import sampler
from meancache_runtime.hosts.diffusers.intercept import overheard
from meancache_runtime.hosts.diffusers.output_fitting import passes

NOISE_APART = 0.01
"""How far a sample's first latents may be from those it has alone, relative to their norm."""


class Last:
    """The latents that the latest step of a pipeline's run has led to.

    Args:
        pipe: The pipeline.
        told: Called after each step.
    """

    latents: Tensor

    def __init__(self, pipe: Any, told: Callable[[], None] = lambda: None) -> None:
        self._pipe, self._told = pipe, told

    @contextmanager
    def watch(self) -> Generator[dict[str, Any]]:
        """Watch one run; gives the arguments that it has to be called with.

        Pipelines without ``callback_on_step_end`` have their scheduler's steps watched; of several
        schedulers the pipeline's own, not its copies.
        """
        if "callback_on_step_end" in inspect.signature(type(self._pipe).__call__).parameters:
            yield {"callback_on_step_end": self._at_end}
            return
        with overheard(self._pipe, "scheduler", "step", self._stepped):
            yield {}

    def _at_end(
        self, _pipe: Any, _step: int, _t: Any, tensors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Remember, and change nothing."""
        self._stepped((tensors["latents"],))
        return tensors

    def _stepped(self, result: Any) -> None:
        self.latents = result[0]
        self._told()


class Recorded(NamedTuple):
    """A whole run, and how many iterations of the pipeline's loop it took."""

    trajectory: Trajectory
    iterations: int


class Course(NamedTuple):
    """What a run would be.

    Attributes:
        sigmas: Its noise levels.
        switches: The steps at which the denoiser changes.
        calls: How often a sample goes through the denoiser in each step; None if not known.
        noise: What it starts with.
    """

    sigmas: tuple[float, ...]
    switches: tuple[int, ...]
    calls: tuple[int, ...] | None
    noise: Tensor


class Calls:
    """The denoisers' calls of one step."""

    def __init__(self) -> None:
        self._found: list[tuple[str, int | None]] = []

    def note(self, name: str, size: int | None) -> None:
        """A denoiser was called with a batch of this size."""
        self._found.append((name, size))

    def of(self, samples: int) -> tuple[frozenset[str], int | None]:
        """Who was called, and how often each of so many samples went through them."""
        ran = frozenset(name for name, _ in self._found)
        return ran, passes((size for _, size in self._found), samples)

    def clear(self) -> None:
        """Begin another step."""
        self._found.clear()


def record(
    pipe: Any, answers: Answers, run: Callable[[], Any], tick: Callable[[], None]
) -> Recorded:
    """Call ``run``, which calls ``pipe`` once, and log every step.

    An iteration that stays at its noise level (Heun's second) corrects the latents there; the
    velocity of a level is the one with which a step leaves it. Where a copy of the scheduler steps
    beside it, latents and velocities are those of both, flattened and joined.

    Args:
        pipe: The pipeline.
        answers: Learns the form of the denoiser's outputs.
        run: The call.
        tick: Called after the first iteration and after the last.

    Raises:
        UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
        InputError: The call made no scheduler step, or ended early, or latents were edited, or a
            copy of the scheduler steps through other noise levels.
    """
    recording = _Recording(pipe.scheduler, tick)
    with intercepted(pipe, answers, recording.follow, lambda: False, recording.calls.note):
        run()
    if not recording.tapes:
        raise InputError(f"{type(pipe).__name__} made no scheduler step: nothing to record")
    parts = [tape.trajectory() for tape in recording.tapes]
    return Recorded(joined(parts), recording.iterations)


class _Recording:
    """The schedulers' side of :func:`record`."""

    def __init__(self, scheduler: Any, tick: Callable[[], None]) -> None:
        self.tapes: list[Tape] = []
        self.calls = Calls()
        self.iterations = 0
        self._main, self._tick = scheduler, tick
        self._replaces = sampler.replaced(scheduler)

    def follow(self, scheduler: Any) -> Step:
        """What is called in place of this scheduler's steps."""
        own: list[Tape] = []

        def tap(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
            index = sampler.find_start(scheduler, timestep)
            if not own:
                own.append(Tape(sampler.run_sigmas(scheduler, index), sample, self._replaces))
                self.tapes += own
            tape = own[0]
            _begin(tape, sample, self._replaces)
            result = scheduler.step(model_output, timestep, sample, *a, **k)
            if sampler.is_inner(scheduler, index):
                tape.correct(result[0])
            else:
                tape.append(model_output, result[0], *self.calls.of(len(sample)))
            if scheduler is self._main:
                self._count(tape)
            return result

        return tap

    def _count(self, tape: Tape) -> None:
        self.calls.clear()
        self.iterations += 1
        if self.iterations == 1 or tape.full:
            self._tick()


def _begin(tape: Tape, sample: Tensor, replaces: str | None) -> None:
    """Log what a step begins with; only Euler's steps need not begin where the last one led."""
    if replaces is None:
        tape.begin(sample)
    elif not torch.equal(tape.latents, sample.to(tape.latents)):
        raise InputError(
            "the latents change between two steps: the pipeline or a callback edits them, and no "
            f"plan can tell this from the steps of {replaces}; calibrate without such edits"
        )


def probe(pipe: Any, answers: Answers, run: Callable[[], Any]) -> Course:
    """Call ``run``, which calls ``pipe`` once, only to see its course.

    The denoiser runs once for each form of its calls that is not known yet.

    Raises:
        UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
        InputError: The call made no scheduler step.
    """
    sampler.replaced(pipe.scheduler)
    begun: list[tuple[tuple[float, ...], Tensor]] = []
    now, seen = Calls(), list[tuple[frozenset[str], int | None]]()

    def follow(scheduler: Any) -> Step:
        def tap(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
            index = sampler.find_start(scheduler, timestep)
            if not begun:
                begun.append((sampler.run_sigmas(scheduler, index), sample))
            if not sampler.is_inner(scheduler, index):
                seen.append(now.of(len(sample)))
            now.clear()
            return scheduler.step(model_output, timestep, sample, *a, **k)

        return tap if scheduler is pipe.scheduler else scheduler.step

    with intercepted(pipe, answers, follow, lambda: True, now.note):
        run()
    if not begun:
        raise InputError(f"{type(pipe).__name__} made no scheduler step: nothing to record")
    sigmas, noise = begun[0]
    ran, calls = zip(*seen, strict=True)
    return Course(sigmas, switches(ran), known(calls), noise)


def check_batch(
    pipe: Any, samples: Sequence[Trajectory], wanted: int, alone: Callable[[], Course]
) -> bool:
    """Refuse a pipeline whose samples are others in a batch than alone; whether that was seen.

    Args:
        pipe: The pipeline.
        samples: What it made in one call.
        wanted: How many it was to make.
        alone: Looks at the last sample made alone.

    Raises:
        InputError: There are not as many, or the last one begins with other latents.
    """
    name, remedy = type(pipe).__name__, "make one sample at a time (batch 1)"
    if len(samples) != wanted:
        raise InputError(f"{name} makes {len(samples)} samples of {wanted} prompts: {remedy}")
    if wanted == 1:
        return False
    noise = alone().noise.flatten().float()
    here = samples[-1].latents[0].flatten()[: noise.numel()].to(noise)
    if (here - noise).norm() > NOISE_APART * noise.norm():
        raise InputError(f"{name} draws different noise for a sample in a batch: {remedy}")
    return True
