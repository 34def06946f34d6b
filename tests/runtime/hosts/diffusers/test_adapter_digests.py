"""Digests of adapters (LoRA): by the specification, and blind to what changes nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoKrConfig
from peft.utils.hotswap import prepare_model_for_compiled_hotswap
from torch import Tensor

from meancache_runtime import attach
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from meancache_runtime.schedule import Adapter
from tests.runtime.hosts.diffusers.loras import TARGETS, add, made_on
from tests.runtime.hosts.diffusers.tiny_runs import run
from tests.tiny import tiny_flux as build

STYLE = "style"
SPECIFICATION = (Path(__file__).parents[4] / "schedules" / "README.md").read_text()


def digest(pipe: Any) -> str | None:
    (adapter,) = adapters_in_effect(pipe)
    return adapter.digest


def bfloat16(values: list[Tensor]) -> bytes:
    """By integer arithmetic: the upper half of a float32, rounded to even; zeros at the end off."""
    words: list[int] = []
    for value in values:
        (bits,) = value.float().reshape(1).view(torch.int32).tolist()
        bits &= 0xFFFFFFFF
        words.append((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    while words and words[-1] == 0:
        words.pop()
    return b"".join(word.to_bytes(2, "little") for word in words)


def specified(pipe: Any, scaling: str) -> str:
    """The digest of a LoRA on linear layers, as schedules/README.md says, value by value."""
    text = b""
    weights = {k: v for k, v in pipe.transformer.named_parameters() if "lora_" in k}
    places = sorted({key.split(".lora_")[0] for key in weights})
    for place in places:
        text += f"transformer.{place} {scaling}\n".encode()
        for kind in ("lora_A", "lora_B"):
            weight = weights[f"{place}.{kind}.{STYLE}.weight"]
            row = bfloat16(list(weight[0, :128]))
            column = bfloat16(list(weight[:128, 0]))
            text += f"{kind}.weight {len(row)} {len(column)}\n".encode() + row + column
    return "sha256:" + hashlib.sha256(text).hexdigest()


def test_the_digest_is_the_specified_one(tiny_flux):
    add(tiny_flux, STYLE)
    assert digest(tiny_flux) == specified(tiny_flux, "2")
    tiny_flux.set_adapters([STYLE], [1 / 3])
    assert digest(tiny_flux) == specified(tiny_flux, "0.666667")


def test_the_example_of_the_specification_is_right():
    class Layer(torch.nn.Module):
        adapter_layer_names = ("lora_A", "lora_B")

    layer = Layer()
    layer.active_adapters = ["default_0"]
    layer.scaling = {"default_0": 0.5}
    layer.lora_A = torch.nn.ModuleDict({"default_0": torch.nn.Linear(2, 1, bias=False)})
    layer.lora_B = torch.nn.ModuleDict({"default_0": torch.nn.Linear(1, 2, bias=False)})
    layer.lora_A["default_0"].weight.data = torch.tensor([[1.0, -2.0]])
    layer.lora_B["default_0"].weight.data = torch.tensor([[0.5], [0.0]])
    pipe = build()
    pipe.transformer.layer = layer
    text = (
        b"transformer.layer 0.5\n"
        b"lora_A.weight 4 2\n\x80\x3f\x00\xc0\x80\x3f"
        b"lora_B.weight 2 2\n\x00\x3f\x00\x3f"
    )
    expected = "sha256:" + hashlib.sha256(text).hexdigest()
    assert digest(pipe) == expected
    assert expected in SPECIFICATION


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_another_precision_of_the_pipeline_gives_the_same_digest(tiny_flux, dtype):
    add(tiny_flux, STYLE)
    expected = digest(tiny_flux)
    tiny_flux.transformer.to(dtype)
    assert {w.dtype for w in tiny_flux.transformer.parameters()} == {dtype}
    assert digest(tiny_flux) == expected


def test_weights_that_float16_holds_have_the_same_digest_in_it(tiny_flux):
    add(tiny_flux, STYLE)
    tiny_flux.transformer.to(torch.float16)
    expected = digest(tiny_flux)
    tiny_flux.transformer.to(torch.float32)
    assert digest(tiny_flux) == expected


def test_what_alpha_and_weight_come_to_counts_not_either(tiny_flux):
    add(tiny_flux, STYLE, alpha=4)
    tiny_flux.set_adapters([STYLE], [0.25])
    other = build()
    add(other, STYLE, alpha=1)
    assert digest(other) == digest(tiny_flux)


def test_a_compiled_transformer_has_the_same_digest(tiny_flux):
    add(tiny_flux, STYLE)
    expected = digest(tiny_flux)
    tiny_flux.transformer = torch.compile(tiny_flux.transformer)
    assert digest(tiny_flux) == expected
    blocks = tiny_flux.transformer._orig_mod.single_transformer_blocks
    blocks[0] = torch.compile(blocks[0])
    assert digest(tiny_flux) == expected


def test_matrices_padded_for_hot_swapping_have_the_same_digest(tiny_flux):
    """diffusers' ``enable_lora_hotswap`` does this once a file is loaded: scales become tensors."""
    add(tiny_flux, STYLE)
    expected = digest(tiny_flux)
    prepare_model_for_compiled_hotswap(tiny_flux.transformer, target_rank=8)
    weights = dict(tiny_flux.transformer.named_parameters())
    assert {weight.shape[0] for key, weight in weights.items() if "lora_A" in key} == {8}
    assert digest(tiny_flux) == expected


def test_ranks_that_differ_behind_the_first_are_told_apart(tiny_flux):
    add(tiny_flux, STYLE, r=2, alpha=2)
    other = build()
    add(other, STYLE, r=4, alpha=4)
    first, second = (dict(p.transformer.named_parameters()) for p in (tiny_flux, other))
    for key, weight in first.items():
        if "lora_" in key:  # the first two components of four
            weight.data = second[key].data[: weight.shape[0], : weight.shape[1]].clone()
    assert digest(tiny_flux) != digest(other)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_bias": True}], ids=str)
def test_every_weight_of_a_variant_counts(tiny_flux, options):
    add(tiny_flux, STYLE, **options)
    seen = {digest(tiny_flux)}
    weights = {k: w for k, w in tiny_flux.transformer.named_parameters() if "lora_" in k}
    kinds = {key.split("lora_", 1)[1].replace(f"{STYLE}.", "") for key in weights}
    assert len(kinds) == 3
    for kind in kinds:
        last = [w for k, w in weights.items() if k.replace(f"{STYLE}.", "").endswith(kind)][-1]
        last.data.view(-1)[0] += 1
        seen.add(digest(tiny_flux))
    assert len(seen) == 4


@pytest.mark.parametrize("config", [LoHaConfig, LoKrConfig], ids=["LoHa", "LoKr"])
def test_other_kinds_of_adapters_are_digested_too(tiny_flux, config):
    def with_seed(seed: int) -> Any:
        pipe = build()
        torch.manual_seed(seed)
        settings = config(r=2, alpha=2, target_modules=TARGETS, init_weights=False)
        pipe.transformer.add_adapter(settings, adapter_name=STYLE)
        return pipe

    pipe = with_seed(1)
    assert digest(pipe) == digest(with_seed(1)) != digest(with_seed(2))
    before = digest(pipe)
    pipe.transformer.set_adapters([STYLE], [0.5])
    assert digest(pipe) != before


@pytest.mark.parametrize("unreadable", [torch.float8_e4m3fn, torch.int8], ids=str)
def test_quantised_weights_have_no_digest(tiny_flux, unreadable):
    add(tiny_flux, STYLE)
    weight = next(w for k, w in tiny_flux.transformer.named_parameters() if "lora_A" in k)
    weight.requires_grad_(False)
    weight.data = weight.data.to(unreadable)
    assert adapters_in_effect(tiny_flux) == (Adapter(STYLE, None),)


def test_weights_that_are_nowhere_have_no_digest(tiny_flux):
    add(tiny_flux, STYLE)
    tiny_flux.transformer.to("meta")
    assert adapters_in_effect(tiny_flux) == (Adapter(STYLE, None),)


def test_digests_change_neither_random_numbers_nor_weights_nor_pictures(tiny_flux):
    add(tiny_flux, STYLE)
    with attach(tiny_flux, made_on(tiny_flux)):
        expected = run(tiny_flux)
    before = {k: v.clone() for k, v in tiny_flux.transformer.state_dict().items()}
    state = torch.get_rng_state()
    digest(tiny_flux)
    assert torch.equal(torch.get_rng_state(), state)
    for key, weight in tiny_flux.transformer.state_dict().items():
        assert torch.equal(weight, before[key])
    assert all(weight.grad is None for weight in tiny_flux.transformer.parameters())
    with attach(tiny_flux, made_on(tiny_flux)):
        assert torch.equal(run(tiny_flux), expected)
