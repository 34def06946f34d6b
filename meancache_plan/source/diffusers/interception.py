"""A pipeline's denoisers and scheduler, stood between; the denoiser's calls may be answered."""

import copy
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from torch import Tensor

from meancache_runtime.hosts.diffusers import identity, sampler
from meancache_runtime.hosts.diffusers.intercept import Interception, Proxy
from meancache_runtime.hosts.diffusers.output_fitting import batch_size

Step = Callable[..., Any]
"""Called in place of ``scheduler.step``, with its arguments."""

Follow = Callable[[Any], Step]
"""Scheduler → what is called in place of its ``step``."""


class Answers:
    """One real output of a denoiser for each form of a call, to answer skipped steps with.

    Only the output's own form matters; the values are those of some earlier call. Not skipped is
    what may fill a key-value cache for later steps: a call that returns more than tensors, and the
    first that is handed an object.
    """

    LIMIT = 16
    """Outputs kept; the oldest goes first."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._handed: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def call(self, name: str, module: Any, skip: bool, *args: Any, **kwargs: Any) -> Any:
        """Run the denoiser and learn, or, to ``skip`` it, give what such a call once returned."""
        form = (name, _form(args), _form(kwargs))
        if self._is_handed_more(*args, *kwargs.values()):
            skip = False
        if skip and form in self._kept:
            return self._kept[form]
        output = module(*args, **kwargs)
        if form not in self._kept and _only_tensors(output):
            self._kept[form] = copy.deepcopy(output)  # compiled modules reuse their outputs
            if len(self._kept) > self.LIMIT:
                del self._kept[next(iter(self._kept))]
        return output

    def _is_handed_more(self, *values: Any) -> bool:
        """Whether an object is among them that no call was handed before."""
        objects = {id(v): v for v in values if hasattr(v, "__dict__") and not isinstance(v, Tensor)}
        new = objects.keys() - self._handed.keys()
        self._handed.update(objects)
        return bool(new)


@contextmanager
def intercepted(
    pipe: Any,
    answers: Answers,
    follow: Follow,
    skip: Callable[[], bool],
    note: Callable[[str, int | None], None] = lambda name, size: None,
) -> Generator[None]:
    """Stand between the pipeline and its denoisers and scheduler, and leave it as it was found.

    Args:
        pipe: The pipeline.
        answers: Answers the denoisers' calls.
        follow: Called with the scheduler, and with each copy of it that the pipeline makes (as
            those do that sample two things at once).
        skip: Whether a call is to be answered without the denoiser.
        note: Told the name of each denoiser that is called, and the size of its batch.
    """

    def copied(scheduler: Any) -> Proxy:
        return Proxy(scheduler, {"step": follow(scheduler), "__copy__": copied})

    def denoise(name: str, module: Any, *args: Any, **kwargs: Any) -> Any:
        note(name, batch_size(args, kwargs))
        return answers.call(name, module, skip(), *args, **kwargs)

    overrides: dict[str, dict[str, Callable[..., Any]]] = {
        name: {"__call__": partial(denoise, name, module)}
        for name, module in identity.denoisers(pipe).items()
    }
    steps = {"step": follow(pipe.scheduler), "__copy__": copied}
    overrides["scheduler"] = sampler.overrides(pipe.scheduler, steps)
    interception = Interception(pipe, overrides, nullcontext)
    try:
        yield
    finally:
        interception.remove()


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


def _only_tensors(output: Any) -> bool:
    match output:
        case dict():
            return all(map(_only_tensors, output.values()))
        case list() | tuple():
            return all(map(_only_tensors, output))
        case _:
            return isinstance(output, Tensor)
