"""What one run of a denoising loop costs: seconds, denoiser calls, memory, FLOPs.

The loop begins with the first call of a denoiser and ends with the last scheduler step; text
encoders and the decoder stay out.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from meancache_plan.errors import InputError
from meancache_plan.judge.compare.memory import Account, Allocator, Tensors
from meancache_plan.judge.compare.peer import Peer
from meancache_plan.judge.compare.restore import left_as_found
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime.hosts.diffusers.identity import denoisers

WHOLE = 0.98
"""A call counts as computed whole from this share of a full run's largest call on."""


class Made(NamedTuple):
    """A sample, and what its loop took.

    Attributes:
        latents: What the last step reached, float32, on the CPU.
        frames: Pictures [F, height, width, 3], float32 in 0 … 1.
        seconds: Wall time of the loop.
        calls: Forward calls of the denoisers.
        memory: Bytes that CUDA's allocator gave at most, beyond what was in use when the loop
            began; None elsewhere.
    """

    latents: Tensor
    frames: npt.NDArray[np.float32]
    seconds: float
    calls: int
    memory: int | None


class Compute(NamedTuple):
    """What a loop takes, counted while it runs.

    Attributes:
        total: FLOPs of all of it.
        calls: FLOPs call by call; what follows a call belongs to it.
        memory: Bytes of tensors at most, beyond those that were there when the loop began.
    """

    total: float
    calls: tuple[float, ...]
    memory: int

    def whole(self, full: "Compute") -> float:
        """Calls that were computed whole, as a share of the full run's."""
        least = WHOLE * max(full.calls)
        return sum(call >= least for call in self.calls) / sum(c >= least for c in full.calls)


class NotFiniteError(InputError):
    """A sample overflowed."""


class Forms(NamedTuple):
    """How a pipeline calls its denoiser: calls a step, and samples a call."""

    calls: int
    batch: int


class _Watch:
    """Sees each call of a denoiser and each end of a step."""

    def __init__(
        self,
        device: torch.device,
        counter: FlopCounterMode | None = None,
        account: Account | None = None,
    ) -> None:
        self._device = device if device.type == "cuda" else None
        self._counter = counter
        self._account = account
        self._marks: list[Any] = []
        self.flops: list[int] = []
        self.calls = self.batch = 0
        self.memory: int | None = None
        self.latents: Tensor | None = None

    def call(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before a denoiser's forward call."""
        if not self.calls:
            if self._account is not None:
                self._account.begin()
            self._mark()
            inputs = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            self.batch = len(inputs[0]) if inputs and inputs[0].ndim else 1
        self.calls += 1
        self._count()

    def step(
        self, _pipe: Any, _step: int, _t: Any, tensors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """After a scheduler step."""
        self._mark()
        self.latents = tensors["latents"]
        if self._account is not None:
            self.memory = self._account.peak()
        return tensors

    def seconds(self) -> float:
        """From the first call to the last step."""
        first, last = self._marks[0], self._marks[-1]
        if self._device is None:
            return last - first
        last.synchronize()
        return first.elapsed_time(last) / 1000

    def end_count(self) -> None:
        """Count what followed the last call."""
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
            self.flops.append(self._counter.get_total_flops())


@contextmanager
def _watched(pipeline: Pipeline, watch: _Watch) -> Generator[None]:
    handles = [
        module.register_forward_pre_hook(watch.call, with_kwargs=True)
        for module in denoisers(pipeline.pipe).values()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def make(pipeline: Pipeline, peer: Peer, prompt: str, seed: int) -> Made:
    """Make one sample with a peer in the pipeline, which is left as it was found.

    Raises:
        NotFiniteError: The sample overflowed.
        InputError: The pipeline took no step.
    """
    device = pipeline.device
    watch = _Watch(device, account=Allocator(device) if device.type == "cuda" else None)
    result = _run(pipeline, peer, prompt, seed, watch, output_type="np")
    if watch.latents is None or not watch.calls:
        raise InputError("the pipeline took no step")
    pictures = result.images if hasattr(result, "images") else result.frames[0]
    frames = np.clip(np.asarray(pictures, dtype=np.float32), 0.0, 1.0)
    latents = watch.latents.detach().float().cpu()
    if not (torch.isfinite(latents).all() and np.isfinite(frames).all()):
        raise NotFiniteError("the sample is not finite")
    return Made(latents, frames, watch.seconds(), watch.calls, watch.memory)


def compute(pipeline: Pipeline, peer: Peer, prompt: str, seed: int) -> Compute:
    """Count the same in a run that is not timed: products of matrices and attention; tensors.

    Raises:
        InputError: The pipeline took no step.
    """
    counter = FlopCounterMode(display=False, custom_mapping=dict(_also()))
    account = Tensors()
    watch = _Watch(torch.device("cpu"), counter, account)
    with account, counter:
        _run(pipeline, peer, prompt, seed, watch, output_type="latent")
    watch.end_count()
    if not watch.calls or watch.memory is None:
        raise InputError("the pipeline took no step")
    marks = np.array(watch.flops, dtype=np.float64)
    return Compute(float(marks[-1] - marks[0]), tuple(np.diff(marks).tolist()), watch.memory)


def forms(pipeline: Pipeline, prompt: str, seed: int) -> Forms:
    """How the pipeline calls its denoiser, found in a run of two steps.

    Raises:
        InputError: The pipeline took no step.
    """
    watch = _Watch(torch.device("cpu"))
    _run(pipeline, Peer("full", "", 2), prompt, seed, watch, output_type="latent")
    if not watch.calls:
        raise InputError("the pipeline took no step")
    return Forms(max(1, watch.calls // 2), watch.batch)


def _run(
    pipeline: Pipeline, peer: Peer, prompt: str, seed: int, watch: _Watch, output_type: str
) -> Any:
    with (
        _watched(pipeline, watch),
        left_as_found(pipeline.pipe),
        peer.enter(pipeline),
    ):
        return pipeline.run(
            prompt,
            seed,
            steps=peer.steps,
            output_type=output_type,
            callback_on_step_end=watch.step,
        )


def _also() -> Generator[tuple[Any, Callable[..., int]]]:
    """Attention on a CPU, which torch's own counter leaves out."""
    kernel = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    if kernel is not None:
        yield kernel, _attention


def _attention(query: tuple[int, ...], key: tuple[int, ...], *_: Any, **__: Any) -> int:
    """FLOPs of Q·Kᵀ and of its product with V: 2 · 2·b·h·q·k·d."""
    batch, heads, queries, width = query
    return 4 * batch * heads * queries * key[2] * width
