"""Trajectories: what is no Euler run or not a whole one is refused; capture takes little memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from meancache_plan.core.deviation import windows
from meancache_plan.core.trajectory import Tape, record_flow
from meancache_plan.errors import InputError
from meancache_plan.measure.profile import measure


def test_a_step_that_is_not_euler_is_refused() -> None:
    trajectory = record_flow(lambda z, s: z, torch.ones(4), [1.0, 0.5, 0.0])
    trajectory.latents[1] += 0.1
    with pytest.raises(InputError, match="step 0"):
        trajectory.check_euler()


def test_an_unfinished_run_is_no_trajectory() -> None:
    tape = Tape([1.0, 0.5, 0.0], torch.ones(4))
    tape.append(torch.ones(4), torch.ones(4))
    with pytest.raises(InputError, match="1 of 2 steps"):
        tape.trajectory()


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all live tensor storages that are made inside it, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)

        def gone() -> None:
            self._known.discard(key)
            self.live -= size

        weakref.finalize(storage, gone)


def test_capture_and_measurement_fit_in_two_latents_a_step() -> None:
    steps, numel = 10, 1 << 20
    grid = [1 - i / steps for i in range(steps + 1)]
    with LiveBytes() as memory:
        noise = torch.zeros(numel)
        tape = Tape(grid, noise)
        for _ in range(steps):
            tape.append(noise, noise)
        trajectory = tape.trajectory()
        del tape
        gc.collect()
        measure(trajectory.velocities, trajectory.sigmas, windows(steps, steps, 6))
    own = noise.nbytes
    assert memory.peak - own <= 2 * (steps + 1) * noise.nbytes
