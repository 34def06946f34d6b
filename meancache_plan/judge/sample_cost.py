"""One sample made by one contender, and what that costs: seconds, denoiser calls, memory, FLOPs."""

from typing import NamedTuple

import numpy as np
import torch

from meancache_plan.judge.contender import Contender
from meancache_plan.judge.left_as_found import left_as_found
from meancache_plan.judge.loop_memory import Allocator
from meancache_plan.judge.loop_watch import Watch
from meancache_plan.judge.measured_sample import Made
from meancache_plan.judge.operations import Operations
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime import Attachment
from meancache_runtime.errors import NonFiniteError

WHOLE = 0.98
"""A call counts as computed whole from this share of a full run's largest call on."""


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


class Forms(NamedTuple):
    """How a pipeline calls its denoiser: calls a step, and samples a call."""

    calls: int
    batch: int


def make(pipeline: Pipeline, contender: Contender, prompt: str, seed: int) -> Made:
    """Make one sample with a contender in the pipeline, which is left as it was found.

    Raises:
        NonFiniteError: The sample overflowed.
        InputError: The pipeline took no step.
    """
    device = pipeline.device
    watch = Watch(device, account=Allocator(device) if device.type == "cuda" else None)
    with (
        watch.on(pipeline.pipe),
        left_as_found(pipeline.pipe),
        contender.enter(pipeline) as entered,
    ):
        sample = pipeline.generate(prompt, seed, steps=contender.steps, after_step=watch.step)
    if not (torch.isfinite(sample.latents).all() and np.isfinite(sample.frames).all()):
        raise NonFiniteError("the sample is not finite")
    taken = sample.seconds, watch.seconds(), watch.calls, watch.memory
    innovations = entered.stats.innovations if isinstance(entered, Attachment) else {}
    return Made(sample.latents, sample.frames, *taken, innovations)


def compute(pipeline: Pipeline, contender: Contender, prompt: str, seed: int) -> Compute:
    """Count the same in a run that is not timed: products of matrices and attention; tensors.

    Raises:
        InputError: The pipeline took no step.
    """
    operations = Operations()
    watch = Watch(torch.device("cpu"), operations, operations)
    with operations:
        _run(pipeline, contender, prompt, seed, watch)
    calls = watch.flops()
    return Compute(float(sum(calls)), tuple(map(float, calls)), watch.memory or 0)


def forms(pipeline: Pipeline, prompt: str, seed: int) -> Forms:
    """How the pipeline calls its denoiser, found in a run of two steps.

    Raises:
        InputError: The pipeline took no step.
    """
    watch = Watch(torch.device("cpu"))
    _run(pipeline, Contender("full", "", 2), prompt, seed, watch)
    return Forms(max(1, watch.calls // 2), watch.batch)


def _run(pipeline: Pipeline, contender: Contender, prompt: str, seed: int, watch: Watch) -> None:
    """A run that decodes nothing, where the pipeline can."""
    with watch.on(pipeline.pipe), left_as_found(pipeline.pipe), contender.enter(pipeline):
        pipeline.final_latents([prompt], [seed], steps=contender.steps, after_step=watch.step)
