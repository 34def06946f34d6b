"""Offloaded pipelines, before and after attaching; what needs an accelerator runs where one is."""

from __future__ import annotations

from typing import Any

import torch

from meancache_runtime import attach
from tests.families.case import Case, run
from tests.living.offloading import Offload, every_offload, sequential
from tests.living.two_pipelines import every_pipeline
from tests.plans import BUDGET, SCHEDULE, STEPS


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

    sequential(pipe, "cpu")
    with attach(pipe, SCHEDULE):
        run(pipe, case.call(STEPS) | {"callback_on_step_end": look})
    assert places == {"meta"}
