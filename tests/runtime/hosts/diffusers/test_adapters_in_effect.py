"""Which adapters a pipeline has: the active and enabled ones, and those that are fused."""

from __future__ import annotations

import pytest
import torch

from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from meancache_runtime.schedule import Adapter
from tests.runtime.hosts.diffusers.loras import add, in_effect
from tests.runtime.hosts.diffusers.tiny_runs import run


def test_the_adapters_in_effect_are_the_active_and_enabled_and_the_fused(tiny_flux):
    assert in_effect(tiny_flux) == []
    add(tiny_flux, "style")
    add(tiny_flux, "detail")
    tiny_flux.set_adapters(["style", "detail"])
    assert in_effect(tiny_flux) == ["detail", "style"]
    tiny_flux.set_adapters(["style"])
    assert in_effect(tiny_flux) == ["style"]
    tiny_flux.disable_lora()
    assert in_effect(tiny_flux) == []
    tiny_flux.enable_lora()
    assert in_effect(tiny_flux) == ["style"]


def test_where_some_are_fused_the_active_ones_are_not_in_effect(tiny_flux):
    add(tiny_flux, "fused")
    add(tiny_flux, "active", seed=1)
    tiny_flux.fuse_lora(adapter_names=["fused"])
    tiny_flux.set_adapters(["fused"])
    expected = run(tiny_flux)
    tiny_flux.set_adapters(["active"])
    assert torch.equal(run(tiny_flux), expected)
    assert in_effect(tiny_flux) == ["fused"]


def test_fused_adapters_count_even_when_nothing_else_is_left_of_them(tiny_flux):
    add(tiny_flux, "style")
    tiny_flux.fuse_lora()
    assert in_effect(tiny_flux) == ["style"]
    tiny_flux.unload_lora_weights()
    assert tiny_flux.get_active_adapters() == []
    assert adapters_in_effect(tiny_flux) == (Adapter("style", None),)


def test_unfused_and_unloaded_they_are_gone(tiny_flux):
    add(tiny_flux, "style")
    tiny_flux.fuse_lora()
    tiny_flux.unfuse_lora()
    tiny_flux.unload_lora_weights()
    assert in_effect(tiny_flux) == []


@pytest.mark.parametrize("fused", [False, True])
def test_at_weight_0_magnitudes_and_what_is_fused_count(tiny_flux, fused):
    add(tiny_flux, "style", use_dora=not fused)
    if fused:
        tiny_flux.fuse_lora()
    tiny_flux.set_adapters(["style"], [0.0])
    assert in_effect(tiny_flux) == ["style"]
