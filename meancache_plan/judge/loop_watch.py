"""Watches one denoising loop: it begins with a denoiser's first call, and ends with the last step.

Text encoders and the decoder stay out.
"""

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.judge.loop_memory import Account
from meancache_plan.judge.operations import Operations
from meancache_runtime.hosts.diffusers.identity import denoisers


class Watch:
    """Sees each call of a denoiser, and is told of each end of a step.

    Args:
        device: Whose clock is read.
        counter: Counts FLOPs, call by call.
        account: Of the memory in use.
    """

    def __init__(
        self,
        device: torch.device,
        counter: Operations | None = None,
        account: Account | None = None,
    ) -> None:
        self._device = device if device.type == "cuda" else None
        self._counter = counter
        self._account = account
        self._marks: list[Any] = []
        self._flops: list[int] = []
        self.calls = self.batch = 0
        self.memory: int | None = None

    @contextmanager
    def on(self, pipe: Any) -> Generator[None]:
        """Watch what this pipeline runs, once.

        Raises:
            InputError: The pipeline took no step.
        """
        with ExitStack() as stack:
            for module in denoisers(pipe).values():
                stack.enter_context(_told(module, self._call))
            yield
        if not self.calls or len(self._marks) < 2:
            raise InputError("the pipeline took no step")

    def step(self) -> None:
        """After a scheduler step."""
        self._mark()
        if self._account is not None:
            self.memory = self._account.peak()

    def seconds(self) -> float:
        """From the first call to the last step."""
        first, last = self._marks[0], self._marks[-1]
        if self._device is None:
            return last - first
        last.synchronize()
        return first.elapsed_time(last) / 1000

    def flops(self) -> list[int]:
        """FLOPs call by call; what follows a call belongs to it."""
        self._count()
        return [after - before for before, after in zip(self._flops, self._flops[1:], strict=False)]

    def _call(self, inputs: list[Any]) -> None:
        """Before a denoiser's forward call."""
        if not self.calls:
            if self._account is not None:
                self._account.begin()
            self._mark()
            tensors = [value for value in inputs if isinstance(value, Tensor)]
            self.batch = len(tensors[0]) if tensors and tensors[0].ndim else 1
        self.calls += 1
        self._count()

    def _mark(self) -> None:
        if self._device is None:
            self._marks.append(time.perf_counter())
            return
        event: Any = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        self._marks.append(event)

    def _count(self) -> None:
        if self._counter is not None:
            self._flops.append(self._counter.flops)


@contextmanager
def _told(module: Any, tell: Callable[[list[Any]], None]) -> Generator[None]:
    """Tell of each call of a module, from outside of what is compiled of it.

    A forward hook would be part of that, and have it compiled again.
    """
    found = vars(module).get("_compiled_call_impl")
    call = found or module._call_impl

    def told(*args: Any, **kwargs: Any) -> Any:
        tell([*args, *kwargs.values()])
        return call(*args, **kwargs)

    vars(module)["_compiled_call_impl"] = told
    try:
        yield
    finally:
        del vars(module)["_compiled_call_impl"]
        if found is not None:
            vars(module)["_compiled_call_impl"] = found
