"""LoRA adapters, loaded, fused and swapped: replay has the weights of the moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model_state_dict
from torch import Tensor

from meancache_runtime import attach
from meancache_runtime.errors import ModelMismatchError
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from tests.families.by_sampler import followed_by_hand
from tests.families.case import Case, run
from tests.living import offloading
from tests.living.two_pipelines import every_pipeline
from tests.plans import PLAN, SCHEDULE, STEPS
from tests.runtime.hosts.diffusers.loras import add, made_on

Load = Callable[[Any, Case, str], None]


def save_lora(case: Case, seed: int, folder: Path) -> None:
    """Write random attention adapters for the case's denoiser, as training scripts do."""
    pipe = case.build()
    add(pipe, "default", seed=seed)
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


@every_pipeline
def test_a_file_is_the_same_adapter_in_every_pipeline_that_loads_it(case: Case, load: Load) -> None:
    pipe, other, half = case.build(), case.build(), case.build()
    load(pipe, case, "a")
    other.load_lora_weights(saved(pipe, "a"))
    half.to(torch.bfloat16)
    load(half, case, "a")
    assert other.get_active_adapters() == ["default_0"]
    for again in (other, half):
        attach(again, made_on(pipe), strict=True).detach()
        assert adapters_in_effect(again)[0].digest == adapters_in_effect(pipe)[0].digest


def saved(pipe: Any, name: str) -> dict[str, Tensor]:
    """What saving a loaded adapter writes."""
    layers = get_peft_model_state_dict(pipe.transformer, adapter_name=name)
    return {f"transformer.{key}": weight for key, weight in layers.items()}


@every_pipeline
def test_another_file_under_the_same_name_is_refused_if_strict(case: Case, load: Load) -> None:
    pipe, fresh = case.build(), case.build()
    load(pipe, case, "a")
    load(fresh, case, "b")
    with attach(pipe, made_on(pipe), strict=True) as attached:
        run(pipe, case.call(STEPS))
        assert attached.stats.warnings == ()
        pipe.load_lora_weights(saved(fresh, "b"), adapter_name="a", hotswap=True)
        with pytest.raises(ModelMismatchError, match="other weights or another scale"):
            run(pipe, case.call(STEPS))
    attach(pipe, made_on(fresh), strict=True).detach()


@offloading.every_offload
@every_pipeline
def test_offloaded_adapters_are_recognised_by_their_weights(
    case: Case, device: str, offload: offloading.Offload, load: Load
) -> None:
    pipe = case.build()
    load(pipe, case, "a")
    schedule = made_on(pipe)
    offload(pipe, device)
    with attach(pipe, schedule, strict=True) as attached:
        for _ in range(2):
            run(pipe, case.call(STEPS))
            assert attached.stats.warnings == ()
    pipe.set_adapters(["a"], [0.5])
    with pytest.raises(ModelMismatchError, match="other weights or another scale"):
        attach(pipe, schedule, strict=True)


@every_pipeline
def test_adapters_offloaded_to_disk_are_not_read_from_what_is_left_in_memory(
    case: Case, load: Load, tmp_path: Path
) -> None:
    pipe = case.build()
    load(pipe, case, "a")
    schedule = made_on(pipe)
    assert None not in [adapter.digest for adapter in adapters_in_effect(pipe)]
    pipe.transformer.enable_group_offload(
        torch.device("cpu"), offload_type="leaf_level", offload_to_disk_path=str(tmp_path)
    )
    assert [adapter.digest for adapter in adapters_in_effect(pipe)] == [None]
    with pytest.raises(ModelMismatchError, match="cannot be compared"):
        attach(pipe, schedule, strict=True)
