"""A pipeline's run, step by step: recorded whole, or resumed in the middle and stopped early."""

import copy
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.record import Tape, Trajectory
from meancache_runtime import identity
from meancache_runtime.intercept import Interception

Step = Callable[..., Any]
"""Called in place of ``scheduler.step``, with its arguments."""


class Answers:
    """One real output of a denoiser for each form of a call, to answer skipped steps with.

    Only the output's own form matters; the values are those of some earlier call. A call that
    returns more than tensors, as one that fills a key-value cache for later steps, is not skipped.
    """

    LIMIT = 16
    """Outputs kept; the oldest goes first."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    def call(self, name: str, module: Any, skip: bool, *args: Any, **kwargs: Any) -> Any:
        """Run the denoiser and learn, or, to ``skip`` it, give what such a call once returned."""
        form = (name, _form(args), _form(kwargs))
        if skip and form in self._kept:
            return self._kept[form]
        output = module(*args, **kwargs)
        if form not in self._kept and _only_tensors(output):
            self._kept[form] = copy.deepcopy(output)  # compiled modules reuse their outputs
            if len(self._kept) > self.LIMIT:
                del self._kept[next(iter(self._kept))]
        return output


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


def record(pipe: Any, answers: Answers, run: Callable[[], Any], tick: Callable[[], None]) -> Tape:
    """Call ``run``, which calls ``pipe`` once, and log every step.

    Args:
        pipe: The pipeline.
        answers: Learns the form of the denoiser's outputs.
        run: The call.
        tick: Called after the first step and after the last.

    Raises:
        UnsupportedSchedulerError: The scheduler takes no plain Euler steps.
        InputError: The call made no scheduler step.
    """
    identity.check_euler(pipe.scheduler)
    scheduler, tapes = pipe.scheduler, list[Tape]()

    def tap(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
        first = not tapes
        if first:
            tapes.append(Tape([float(sigma) for sigma in scheduler.sigmas], sample))
        result = scheduler.step(model_output, timestep, sample, *a, **k)
        tapes[0].append(model_output, result[0])
        if first or scheduler.step_index == len(tapes[0].sigmas) - 1:
            tick()
        return result

    with _intercepted(pipe, answers, tap, lambda: False):
        run()
    if not tapes:
        raise InputError(f"{type(pipe).__name__} made no scheduler step: nothing to record")
    return tapes[0]


def resume(
    pipe: Any, answers: Answers, run: Callable[[], Any], latents: Tensor, step: int, until: int
) -> Trajectory:
    """Call ``run``, which calls ``pipe`` once, for the steps ``step`` … ``until`` − 1 only.

    Earlier steps are answered without the denoiser (but for a first call whose output's form is
    not known yet) and end on ``latents``; later ones do not happen.

    Args:
        pipe: The pipeline.
        answers: Known outputs of its denoiser.
        run: The call; for ``step`` 0 it must start from ``latents`` by itself.
        latents: z at σ_step, in the pipeline's own layout, cast to its dtype and device.
        step: First step taken, 0 ≤ step < until.
        until: The step to stop before, at most T.

    Raises:
        UnsupportedSchedulerError: The scheduler takes no plain Euler steps.
        InputError: The pipeline's latents have another shape, or its run another length.
    """
    identity.check_euler(pipe.scheduler)
    scheduler, tapes, done = pipe.scheduler, list[Tape](), 0

    def tap(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
        nonlocal done
        result = scheduler.step(model_output, timestep, sample, *a, **k)
        done += 1
        if done <= step:
            return result if done < step else _moved_to(latents, result)
        grid = [float(sigma) for sigma in scheduler.sigmas]
        if not tapes:
            _check_shape(latents, sample)
            tapes.append(Tape(grid[step : until + 1], sample))
        tapes[0].append(model_output, result[0])
        if done == until < len(grid) - 1:
            raise _Enough
        return result

    try:
        with _intercepted(pipe, answers, tap, lambda: done < step):
            run()
    except _Enough:
        getattr(pipe, "maybe_free_model_hooks", lambda: None)()  # as at the end of a whole run
    if not tapes:
        raise InputError(f"{type(pipe).__name__} ended before step {step}: nothing to resume")
    return tapes[0].trajectory()


@contextmanager
def _intercepted(
    pipe: Any, answers: Answers, tap: Step, skip: Callable[[], bool]
) -> Generator[None]:
    """Stand between the pipeline and its denoisers and scheduler, and leave it as it was found."""

    def denoise(name: str, module: Any, *args: Any, **kwargs: Any) -> Any:
        return answers.call(name, module, skip(), *args, **kwargs)

    overrides: dict[str, dict[str, Callable[..., Any]]] = {
        name: {"__call__": partial(denoise, name, module)}
        for name, module in identity.denoisers(pipe).items()
    }
    overrides["scheduler"] = {"step": tap}
    interception = Interception(pipe, overrides, nullcontext)
    try:
        yield
    finally:
        interception.remove()


def _moved_to(latents: Tensor, result: Any) -> Any:
    """What ``scheduler.step`` returned, with other latents."""
    _check_shape(latents, result[0])
    latents = latents.to(result[0])
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


def _only_tensors(output: Any) -> bool:
    match output:
        case dict():
            return all(map(_only_tensors, output.values()))
        case list() | tuple():
            return all(map(_only_tensors, output))
        case _:
            return isinstance(output, Tensor)


def _form(value: Any) -> Hashable:
    """What decides an output's form: shapes, dtypes, names, flags; never values of tensors."""
    match value:
        case Tensor():
            return tuple(value.shape), value.dtype
        case dict():
            return tuple((key, _form(item)) for key, item in value.items())
        case list() | tuple():
            return tuple(_form(item) for item in value)
        case bool() | int() | str() | None:
            return value
        case _:
            return type(value)
