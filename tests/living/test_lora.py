"""LoRA adapters, loaded, fused and swapped: replay has the weights of the moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor

from meancache_runtime import attach
from tests.families.by_sampler import followed_by_hand
from tests.families.case import Case, run
from tests.living.pipelines import PLAN, SCHEDULE, STEPS, every_pipeline

Load = Callable[[Any, Case, str], None]


def save_lora(case: Case, seed: int, folder: Path) -> None:
    """Write random attention adapters for the case's denoiser, as training scripts do."""
    pipe = case.build()
    targets = ["to_q", "to_k", "to_v"]
    pipe.transformer.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=targets))
    generator = torch.Generator().manual_seed(seed)
    for name, weight in pipe.transformer.named_parameters():
        if "lora_" in name:
            weight.data = 0.5 * torch.randn(weight.shape, generator=generator)
    layers = get_peft_model_state_dict(pipe.transformer)
    type(pipe).save_lora_weights(folder, transformer_lora_layers=layers)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load adapter ``"a"`` or ``"b"`` of a case into a pipeline, and make it the active one."""

    @cache
    def folder(case: Case, name: str) -> Path:
        path = tmp_path_factory.mktemp(name)
        save_lora(case, ord(name), path)
        return path

    def load(pipe: Any, case: Case, name: str) -> None:
        pipe.load_lora_weights(folder(case, name), adapter_name=name)
        pipe.set_adapters([name])

    return load


def replay(pipe: Any, case: Case) -> Tensor:
    with attach(pipe, SCHEDULE):
        return run(pipe, case.call(STEPS))[0]


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
@every_pipeline
def test_with_an_adapter_replay_equals_the_plan_followed_by_hand(
    case: Case, fused: bool, load: Load
) -> None:
    pipe = case.build()
    without = replay(pipe, case)
    load(pipe, case, "a")
    if fused:
        pipe.fuse_lora()
    with followed_by_hand(type(pipe.scheduler), PLAN):
        (expected,) = run(pipe, case.call(STEPS))
    replayed = replay(pipe, case)
    torch.testing.assert_close(replayed, expected, rtol=1e-4, atol=1e-5)
    assert (replayed - without).norm() > 0.01 * without.norm()


@every_pipeline
def test_an_adapter_swapped_while_attached_counts_from_the_next_run(case: Case, load: Load) -> None:
    pipe = case.build()
    expected = {}
    for name in "ab":
        load(pipe, case, name)
        expected[name] = replay(pipe, case)
    assert not torch.allclose(expected["a"], expected["b"], rtol=1e-2)
    with attach(pipe, SCHEDULE):
        for name in "aba":
            pipe.set_adapters([name])
            assert torch.equal(run(pipe, case.call(STEPS))[0], expected[name])
        pipe.delete_adapters("a")
        pipe.set_adapters(["b"])
        assert torch.equal(run(pipe, case.call(STEPS))[0], expected["b"])


@every_pipeline
def test_an_adapter_loaded_while_attached_counts_and_stays(case: Case, load: Load) -> None:
    before, after = case.build(), case.build()
    load(before, case, "a")
    with attach(after, SCHEDULE):
        load(after, case, "a")
        (replayed,) = run(after, case.call(STEPS))
    assert torch.equal(replayed, replay(before, case))
    assert after.get_active_adapters() == ["a"]
    assert torch.equal(run(after, case.call(STEPS))[0], run(before, case.call(STEPS))[0])


@every_pipeline
def test_fusing_and_unloading_while_attached_give_what_they_give_before(
    case: Case, load: Load
) -> None:
    pipe = case.build()
    without = replay(pipe, case)
    load(pipe, case, "a")
    with_adapter = replay(pipe, case)
    with attach(pipe, SCHEDULE):
        pipe.fuse_lora()
        torch.testing.assert_close(
            run(pipe, case.call(STEPS))[0], with_adapter, rtol=1e-4, atol=1e-5
        )
        pipe.unfuse_lora()
        pipe.unload_lora_weights()
        torch.testing.assert_close(run(pipe, case.call(STEPS))[0], without, rtol=1e-4, atol=1e-5)
