"""A sample as one method made it, and what that took."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor


class Made(NamedTuple):
    """A sample. The denoising loop goes from the denoiser's first call to the last step.

    Attributes:
        latents: What the last step reached, float32, on the CPU.
        frames: Pictures [F, height, width, 3], float32 in 0 … 1.
        seconds: Wall time of the pipeline's whole call.
        loop_seconds: Wall time of the loop.
        calls: Forward calls of the denoisers.
        memory: Bytes that CUDA's allocator gave at most, beyond what was in use when the loop
            began; None elsewhere.
        innovations: At each knot of a plan that has a bound, as a share of that.
    """

    latents: Tensor
    frames: npt.NDArray[np.float32]
    seconds: float
    loop_seconds: float
    calls: int
    memory: int | None
    innovations: Mapping[int, float]


class Count(NamedTuple):
    """What was counted in a run of its own; None where nothing was.

    Attributes:
        flops: FLOPs of the loop, as a share of the full run's.
        whole: Denoiser calls that were computed whole, as a share of the full run's.
        memory: Bytes of tensors at most, beyond those that were there when the loop began.
    """

    flops: float | None = None
    whole: float | None = None
    memory: int | None = None
