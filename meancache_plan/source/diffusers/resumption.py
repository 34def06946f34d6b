"""A pipeline's run, resumed in the middle and stopped early."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from meancache_plan.core.trajectory import Tape, Trajectory, joined
from meancache_plan.errors import InputError
from meancache_plan.source.diffusers.interception import Answers, Step, intercepted
from meancache_runtime.hosts.diffusers import sampler


class _Enough(BaseException):
    """The run has taken all the steps that were asked for."""


class StartError(InputError):
    """A run to be taken from its first step on has begun with other latents than those given."""


def resume(
    pipe: Any,
    answers: Answers,
    run: Callable[[], Any],
    latents: Tensor,
    step: int,
    until: int | None,
) -> Trajectory:
    """Call ``run``, which calls ``pipe`` once, for the steps ``step`` … ``until`` − 1 only.

    Earlier steps are answered without the denoiser (except a first call whose output's form is
    not known yet) and end on ``latents``; later ones do not happen. The steps are Euler's, which
    replace those of any other sampler, as replay does.

    Args:
        pipe: The pipeline.
        answers: Known outputs of its denoiser.
        run: The call; for ``step`` 0 it has to start from ``latents`` by itself.
        latents: z at σ_step, in the pipeline's own layout, cast to its dtype and device; where
            copies of the scheduler step beside it, all their latents joined, [n, N].
        step: First step taken, 0 ≤ step < until.
        until: The step to stop before; None for T.

    Raises:
        UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
        InputError: The pipeline's latents have another shape, or its run another length.
        StartError: For ``step`` 0, the run started from other latents.
    """
    resumed = _Resumed(pipe.scheduler, latents, step, until)
    try:
        with intercepted(pipe, answers, resumed.follow, resumed.skips):
            run()
    except _Enough:
        getattr(pipe, "maybe_free_model_hooks", lambda: None)()  # as at the end of a whole run
    tapes = [way.tape for way in resumed.begun if way.tape is not None]
    if not tapes:
        raise InputError(f"{type(pipe).__name__} ended before step {step}: nothing to resume")
    return joined([tape.trajectory() for tape in tapes])


class _Resumed:
    """The schedulers' side of :func:`resume`.

    Attributes:
        begun: Those that have stepped, in this order; joined latents hold theirs one by one.
    """

    def __init__(self, scheduler: Any, latents: Tensor, step: int, until: int | None) -> None:
        self.begun: list[_Way] = []
        self.replaces = sampler.replaced(scheduler)
        self.step, self.until = step, until
        self._latents = latents
        self._ways: list[_Way] = []

    def follow(self, scheduler: Any) -> Step:
        """What is called in place of this scheduler's steps."""
        self._ways.append(_Way(self, scheduler))
        return self._ways[-1].take

    def skips(self) -> bool:
        """Whether the coming call of the denoiser is to be answered without it."""
        main = self._ways[0]
        return main.done < self.step or main.ended or main.inner

    def own(self, way: "_Way", like: Tensor) -> Tensor:
        """Those of the given latents that are this scheduler's, in its layout.

        Raises:
            InputError: Their shapes differ.
        """
        if self._latents.ndim != 2 or like.ndim == 2:
            _check_shape(self._latents, like)
            return self._latents.to(like)
        first = sum(other.size for other in self.begun[: self.begun.index(way)])
        part = self._latents[:, first : first + way.size]
        if part.numel() != like.numel():
            _check_shape(self._latents, like)
        return part.reshape(like.shape).to(like)

    def end(self) -> None:
        """End the run if all schedulers have taken their last step."""
        if all(way.ended for way in self._ways):
            raise _Enough


class _Way:
    """One scheduler's way: steps skipped, then taken and logged."""

    def __init__(self, run: _Resumed, scheduler: Any) -> None:
        self.done = 0
        self.size = 0
        self.tape: Tape | None = None
        self._run, self._scheduler = run, scheduler
        self._grid: tuple[float, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether all steps that were asked for are taken, and more would follow."""
        return self.tape is not None and self.tape.full and self.done < len(self._grid) - 1

    @property
    def inner(self) -> bool:
        """Whether the coming iteration stays at its noise level."""
        return self.done > 0 and sampler.is_inner(self._scheduler, self._scheduler.step_index)

    def take(self, model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
        """In place of ``scheduler.step``."""
        if self.ended:
            raise _Enough
        index = sampler.find_start(self._scheduler, timestep)
        if not self._grid:
            self._begin(index, sample)
        if sampler.is_inner(self._scheduler, index):
            sampler.move_on(self._scheduler)
            return sampler.Stepped(sample)
        result = self._stepped(model_output, timestep, sample, *a, **k)
        self.done += 1
        if self.done <= self._run.step:
            return result if self.done < self._run.step else self._moved(result)
        self._log(model_output, sample, result)
        self._run.end()
        return result

    def _begin(self, index: int, sample: Tensor) -> None:
        self._grid = sampler.run_sigmas(self._scheduler, index)
        self.size = sample[0].numel()
        self._run.begun.append(self)
        steps, step, until = len(self._grid) - 1, self._run.step, self._run.until
        if step >= steps or (until or 0) > steps:
            raise InputError(
                f"this run has {steps} steps, but was to be resumed from step {step} to "
                f"{until or 'the end'}"
            )

    def _stepped(
        self, model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any
    ) -> Any:
        """An Euler step."""
        if self._run.replaces is None:
            return self._scheduler.step(model_output, timestep, sample, *a, **k)
        result = sampler.take(self._scheduler, model_output, sample)
        sampler.move_on(self._scheduler)
        return result

    def _moved(self, result: Any) -> Any:
        """What a step returned, with the given latents."""
        latents = self._run.own(self, result[0])
        if isinstance(result, sampler.Stepped):
            return sampler.Stepped(latents)
        if isinstance(result, tuple):
            return (latents, *result[1:])
        result.prev_sample = latents
        return result

    def _log(self, model_output: Tensor, sample: Tensor, result: Any) -> None:
        if self.tape is None:
            given = self._run.own(self, sample)
            if self._run.step == 0 and not torch.equal(given, sample):
                raise StartError(
                    "the run starts from latents of its own, not from those given: give the "
                    "latents that a recorded trajectory of this prompt and seed begins with"
                )
            end = len(self._grid) if self._run.until is None else self._run.until + 1
            self.tape = Tape(self._grid[self._run.step : end], sample)
        self.tape.begin(sample)
        self.tape.append(model_output, result[0])


def _check_shape(latents: Tensor, own: Tensor) -> None:
    if latents.shape != own.shape:
        raise InputError(
            f"latents have shape {list(latents.shape)}, the pipeline's {list(own.shape)}: give "
            "them as a recorded trajectory holds them, one row per prompt"
        )
