"""A pipeline's run, step by step: recorded whole, or resumed in the middle and stopped early."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from meancache_plan.adapters.between import Answers, intercepted
from meancache_plan.errors import InputError
from meancache_plan.record import Tape, Trajectory, switches
from meancache_runtime import sampler


class Last:
    """A callback for the end of each step that remembers the latents."""

    latents: Tensor

    def __call__(
        self, _pipe: Any, _step: int, _t: Any, tensors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Remember, and change nothing."""
        self.latents = tensors["latents"]
        return tensors


class _Enough(BaseException):
    """The run has taken all the steps that were asked for."""


class Recorded(NamedTuple):
    """A whole run, and how many iterations of the pipeline's loop it took."""

    trajectory: Trajectory
    iterations: int


class Course(NamedTuple):
    """What a run would be: its noise levels, and the steps at which the denoiser changes."""

    sigmas: tuple[float, ...]
    switches: tuple[int, ...]


def record(
    pipe: Any, answers: Answers, run: Callable[[], Any], tick: Callable[[], None]
) -> Recorded:
    """Call ``run``, which calls ``pipe`` once, and log every step.

    An iteration that stays at its noise level (Heun's second) corrects the latents there; the
    velocity of a level is the one with which a step leaves it.

    Args:
        pipe: The pipeline.
        answers: Learns the form of the denoiser's outputs.
        run: The call.
        tick: Called after the first iteration and after the last.

    Raises:
        UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
        InputError: The call made no scheduler step, or ended early, or latents were edited.
    """
    replaces = sampler.replaced(pipe.scheduler)
    scheduler, tapes, ran, iterations = pipe.scheduler, list[Tape](), set[str](), 0

    def tap(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
        nonlocal iterations
        index = sampler.find_start(scheduler, timestep)
        if not tapes:
            tapes.append(Tape(sampler.run_sigmas(scheduler, index), sample, replaces))
        tape = tapes[0]
        _check_unedited(tape, sample, replaces)
        result = scheduler.step(model_output, timestep, sample, *a, **k)
        if sampler.is_inner(scheduler, index):
            tape.correct(result[0])
        else:
            tape.append(model_output, result[0], ran)
        ran.clear()
        iterations += 1
        if iterations == 1 or tape.full:
            tick()
        return result

    with intercepted(pipe, answers, tap, lambda: False, ran.add):
        run()
    if not tapes:
        raise InputError(f"{type(pipe).__name__} made no scheduler step: nothing to record")
    return Recorded(tapes[0].trajectory(), iterations)


def _check_unedited(tape: Tape, sample: Tensor, replaces: str | None) -> None:
    """Refuse latents that are not those of the step before; Euler's steps tell by themselves."""
    if replaces is not None and not torch.equal(tape.latents, sample.to(tape.latents)):
        raise InputError(
            "the latents change between two steps: the pipeline or a callback edits them, and no "
            f"plan can tell this from the steps of {replaces}; calibrate without this"
        )


def probe(pipe: Any, answers: Answers, run: Callable[[], Any]) -> Course:
    """Call ``run``, which calls ``pipe`` once, only to see its course.

    The denoiser runs once for each form of its calls that is not known yet.

    Raises:
        As :func:`record`.
    """
    sampler.replaced(pipe.scheduler)
    scheduler, grids, ran, seen = pipe.scheduler, list[tuple[float, ...]](), set[str](), []

    def tap(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
        index = sampler.find_start(scheduler, timestep)
        if not grids:
            grids.append(sampler.run_sigmas(scheduler, index))
        if not sampler.is_inner(scheduler, index):
            seen.append(frozenset(ran))
        ran.clear()
        return scheduler.step(model_output, timestep, sample, *a, **k)

    with intercepted(pipe, answers, tap, lambda: True, ran.add):
        run()
    if not grids:
        raise InputError(f"{type(pipe).__name__} made no scheduler step: nothing to record")
    return Course(grids[0], switches(seen))


def resume(
    pipe: Any,
    answers: Answers,
    run: Callable[[], Any],
    latents: Tensor,
    step: int,
    until: int | None,
) -> Trajectory:
    """Call ``run``, which calls ``pipe`` once, for the steps ``step`` … ``until`` − 1 only.

    Earlier steps are answered without the denoiser (but for a first call whose output's form is
    not known yet) and end on ``latents``; later ones do not happen. The steps are Euler's, which
    replace those of any other sampler, as replay does.

    Args:
        pipe: The pipeline.
        answers: Known outputs of its denoiser.
        run: The call; for ``step`` 0 it must start from ``latents`` by itself.
        latents: z at σ_step, in the pipeline's own layout, cast to its dtype and device.
        step: First step taken, 0 ≤ step < until.
        until: The step to stop before; None for T.

    Raises:
        UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
        InputError: The pipeline's latents have another shape, or its run another length.
    """
    resumed = _Resumed(pipe, latents, step, until)
    try:
        with intercepted(pipe, answers, resumed.tap, resumed.skips):
            run()
    except _Enough:
        getattr(pipe, "maybe_free_model_hooks", lambda: None)()  # as at the end of a whole run
    if resumed.tape is None:
        raise InputError(f"{type(pipe).__name__} ended before step {step}: nothing to resume")
    return resumed.tape.trajectory()


class _Resumed:
    """The scheduler's side of :func:`resume`: steps skipped, then taken and logged."""

    def __init__(self, pipe: Any, latents: Tensor, step: int, until: int | None) -> None:
        self._scheduler = pipe.scheduler
        self._replaces = sampler.replaced(pipe.scheduler)
        self._latents, self._step, self._until = latents, step, until
        self._grid: tuple[float, ...] = ()
        self._done = 0
        self.tape: Tape | None = None

    def skips(self) -> bool:
        """Whether the coming call of the denoiser is to be answered without it."""
        index = self._scheduler.step_index if self._done else None
        inner = index is not None and sampler.is_inner(self._scheduler, index)
        return self._done < self._step or inner

    def tap(self, model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
        """In place of ``scheduler.step``."""
        index = sampler.find_start(self._scheduler, timestep)
        if not self._grid:
            self._grid = sampler.run_sigmas(self._scheduler, index)
            self._check_length()
        if sampler.is_inner(self._scheduler, index):
            sampler.move_on(self._scheduler)
            return sampler.Stepped(sample)
        result = self._stepped(model_output, timestep, sample, *a, **k)
        self._done += 1
        if self._done <= self._step:
            return result if self._done < self._step else _moved_to(self._latents, result)
        return self._logged(model_output, sample, result)

    def _stepped(
        self, model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any
    ) -> Any:
        """An Euler step."""
        if self._replaces is None:
            return self._scheduler.step(model_output, timestep, sample, *a, **k)
        result = sampler.take(self._scheduler, model_output, sample)
        sampler.move_on(self._scheduler)
        return result

    def _logged(self, model_output: Tensor, sample: Tensor, result: Any) -> Any:
        """The step's result, if another step is to follow."""
        if self.tape is None:
            _check_shape(self._latents, sample)
            end = len(self._grid) if self._until is None else self._until + 1
            self.tape = Tape(self._grid[self._step : end], sample)
        self.tape.append(model_output, result[0])
        if self.tape.full and self._done < len(self._grid) - 1:
            raise _Enough
        return result

    def _check_length(self) -> None:
        steps = len(self._grid) - 1
        if self._step >= steps or (self._until or 0) > steps:
            raise InputError(
                f"this run has {steps} steps, and was to be resumed from step {self._step} to "
                f"{self._until or 'the end'}"
            )


def _moved_to(latents: Tensor, result: Any) -> Any:
    """What ``scheduler.step`` returned, with other latents."""
    _check_shape(latents, result[0])
    latents = latents.to(result[0])
    if isinstance(result, sampler.Stepped):
        return sampler.Stepped(latents)
    if isinstance(result, tuple):
        return (latents, *result[1:])
    result.prev_sample = latents
    return result


def _check_shape(latents: Tensor, own: Tensor) -> None:
    if latents.shape != own.shape:
        raise InputError(
            f"latents have shape {list(latents.shape)}, the pipeline's {list(own.shape)}: give "
            "them as a recorded trajectory holds them, one row a prompt"
        )
