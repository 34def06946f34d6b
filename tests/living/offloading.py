"""The ways to offload a pipeline: on a CPU, and where there is one on an accelerator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import accelerate
import pytest
import torch

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
Offload = Callable[[Any, str], None]


def _model(pipe: Any, device: str) -> None:
    pipe.enable_model_cpu_offload(device=device)


def sequential(pipe: Any, device: str) -> None:
    """diffusers asks for ``cpu:0``, on which accelerate loses parameters: ask for ``cpu``."""
    with pytest.MonkeyPatch.context() as patch:
        if device == "cpu":
            whole = accelerate.cpu_offload
            patch.setattr(accelerate, "cpu_offload", lambda m, _, **k: whole(m, "cpu", **k))
        pipe.enable_sequential_cpu_offload(device=device)


def _leaves(pipe: Any, device: str) -> None:
    pipe.enable_group_offload(torch.device(device), offload_type="leaf_level")


def _blocks(pipe: Any, device: str) -> None:
    pipe.enable_group_offload(
        torch.device(device), offload_type="block_level", num_blocks_per_group=1
    )


def _streams(pipe: Any, device: str) -> None:
    pipe.enable_group_offload(torch.device(device), offload_type="leaf_level", use_stream=True)


OFFLOADS = {
    "model": _model,
    "sequential": sequential,
    "group, leaves": _leaves,
    "group, blocks": _blocks,
    "group, streams": _streams,
}
every_offload = pytest.mark.parametrize(
    ("device", "offload"),
    [
        *[pytest.param("cpu", f, id=f"{n} on cpu") for n, f in OFFLOADS.items() if f != _streams],
        *[pytest.param("cuda", f, id=f"{n} on cuda", marks=CUDA) for n, f in OFFLOADS.items()],
    ],
)
