"""Offloaded pipelines, before and after attaching; what needs an accelerator runs where one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import accelerate
import pytest
import torch

from meancache_runtime import attach
from tests.families.case import Case, run
from tests.living.pipelines import every_pipeline
from tests.plans import BUDGET, SCHEDULE, STEPS

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
Offload = Callable[[Any, str], None]


def _model(pipe: Any, device: str) -> None:
    pipe.enable_model_cpu_offload(device=device)


def _sequential(pipe: Any, device: str) -> None:
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
    "sequential": _sequential,
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


def replayed(case: Case, device: str) -> torch.Tensor:
    """What the attached pipeline gives with all its components on the device."""
    pipe = case.build().to(device)
    with attach(pipe, SCHEDULE):
        return run(pipe, case.call(STEPS))[0]


@every_offload
@every_pipeline
def test_an_offloaded_pipeline_replays_the_same(case: Case, device: str, offload: Offload) -> None:
    pipe = case.build()
    offload(pipe, device)
    with attach(pipe, SCHEDULE) as attached:
        results = [run(pipe, case.call(STEPS))[0] for _ in range(2)]
    assert attached.stats.denoiser_calls == BUDGET * case.branches
    expected = replayed(case, device)
    for result in results:
        torch.testing.assert_close(result, expected)


@every_offload
@every_pipeline
def test_offloading_while_attached_takes_effect_and_outlives_it(
    case: Case, device: str, offload: Offload
) -> None:
    pipe = case.build()
    with attach(pipe, SCHEDULE) as attached:
        offload(pipe, device)
        results = [run(pipe, case.call(STEPS))[0] for _ in range(2)]
    assert attached.stats.denoiser_calls == BUDGET * case.branches
    expected = replayed(case, device)
    for result in results:
        torch.testing.assert_close(result, expected)
    assert hooked(pipe.transformer)
    plain = case.build().to(device)
    torch.testing.assert_close(run(pipe, case.call(STEPS)), run(plain, case.call(STEPS)))


def hooked(module: torch.nn.Module) -> bool:
    """Whether accelerate or diffusers moves this module's weights."""
    inner = [m for m in module.modules() if hasattr(m, "_hf_hook") or hasattr(m, "_diffusers_hook")]
    return len(inner) > 0


@every_pipeline
def test_sequentially_offloaded_weights_leave_the_device_after_every_refresh(case: Case) -> None:
    pipe, places = case.build(), set[str]()

    def look(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        places.update(weight.device.type for weight in pipe.transformer.parameters())
        return tensors

    _sequential(pipe, "cpu")
    with attach(pipe, SCHEDULE):
        run(pipe, case.call(STEPS) | {"callback_on_step_end": look})
    assert places == {"meta"}
