"""Adapters (LoRA): the pipeline's, compared with those that a schedule was compiled with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig

from meancache_runtime import attach
from meancache_runtime.errors import ModelMismatchError
from meancache_runtime.identity import active_adapters, fingerprint
from meancache_runtime.schedule import Model, Schedule
from tests.runtime.test_attach import PLAN, run

MODEL = Model("owner/model", None, None, "FluxPipeline", None, ())


def made_with(*adapters: str) -> Schedule:
    return replace(PLAN, model=replace(MODEL, adapters=adapters))


def add(pipe: Any, *names: str) -> None:
    """Give the transformer adapters with random weights; the last one added is active."""
    for i, name in enumerate(names):
        config = LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v"])
        pipe.transformer.add_adapter(config, adapter_name=name)
        generator = torch.Generator().manual_seed(i)
        for key, weight in pipe.transformer.named_parameters():
            if "lora_" in key and name in key:
                weight.data = 0.5 * torch.randn(weight.shape, generator=generator)


def test_the_adapters_in_effect_are_the_active_and_enabled_and_the_fused(tiny_flux):
    assert active_adapters(tiny_flux) == ()
    add(tiny_flux, "style", "detail")
    tiny_flux.set_adapters(["style", "detail"])
    assert active_adapters(tiny_flux) == ("detail", "style")
    tiny_flux.set_adapters(["style"])
    assert active_adapters(tiny_flux) == ("style",)
    tiny_flux.disable_lora()
    assert active_adapters(tiny_flux) == ()
    tiny_flux.enable_lora()
    assert active_adapters(tiny_flux) == ("style",)


def test_fused_adapters_count_even_when_nothing_else_is_left_of_them(tiny_flux):
    add(tiny_flux, "style")
    tiny_flux.fuse_lora()
    assert active_adapters(tiny_flux) == ("style",)
    tiny_flux.unload_lora_weights()
    assert tiny_flux.get_active_adapters() == []
    assert active_adapters(tiny_flux) == ("style",)


def test_unfused_and_unloaded_they_are_gone(tiny_flux):
    add(tiny_flux, "style")
    tiny_flux.fuse_lora()
    tiny_flux.unfuse_lora()
    tiny_flux.unload_lora_weights()
    assert active_adapters(tiny_flux) == ()


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ((), ("style",), "with no adapters, this pipeline has the adapters style"),
        (("style",), (), "with the adapters style, this pipeline has no adapters"),
        (("other",), ("style",), "with the adapters other, this pipeline has the adapters style"),
    ],
)
def test_other_adapters_are_a_warning_and_if_strict_an_error(tiny_flux, there, here, words):
    add(tiny_flux, *here)
    with attach(tiny_flux, made_with(*there)) as attached:
        (at_once,) = attached.stats.warnings
        run(tiny_flux)
        (warning,) = attached.stats.warnings
    assert warning == at_once
    assert warning.kind == "adapters"
    assert words in warning.message
    transformer = tiny_flux.transformer
    with pytest.raises(ModelMismatchError, match=words):
        attach(tiny_flux, made_with(*there), strict=True)
    assert tiny_flux.transformer is transformer


def test_the_same_adapters_in_any_order_are_neither(tiny_flux):
    add(tiny_flux, "b", "a")
    tiny_flux.set_adapters(["b", "a"])
    with attach(tiny_flux, made_with("b", "a"), strict=True) as attached:
        run(tiny_flux)
    assert attached.stats.warnings == ()


def test_a_schedule_for_any_model_does_not_ask(tiny_flux):
    add(tiny_flux, "style")
    with attach(tiny_flux, PLAN, strict=True) as attached:
        run(tiny_flux)
    assert attached.stats.warnings == ()


def test_a_swap_while_attached_is_seen_by_the_next_run(tiny_flux):
    add(tiny_flux, "a", "b")
    tiny_flux.set_adapters(["a"])
    with attach(tiny_flux, made_with("a")) as attached:
        run(tiny_flux)
        assert attached.stats.warnings == ()
        tiny_flux.set_adapters(["b"])
        run(tiny_flux)
        assert [warning.kind for warning in attached.stats.warnings] == ["adapters"]
        tiny_flux.set_adapters(["a"])
        run(tiny_flux)
        assert attached.stats.warnings == ()


def test_strict_a_swap_while_attached_is_refused_before_the_denoiser_runs(tiny_flux):
    add(tiny_flux, "a", "b")
    tiny_flux.set_adapters(["a"])
    calls = []
    with attach(tiny_flux, made_with("a"), strict=True):
        expected = run(tiny_flux)
        tiny_flux.set_adapters(["b"])
        tiny_flux.transformer.register_forward_hook(lambda *_: calls.append(1))
        with pytest.raises(ModelMismatchError, match=r"adapters a, .* adapters b"):
            run(tiny_flux)
        assert calls == []
        tiny_flux.set_adapters(["a"])
        assert torch.equal(run(tiny_flux), expected)


def test_adapters_do_not_change_the_fingerprint(tiny_flux):
    before = fingerprint(tiny_flux)
    add(tiny_flux, "style")
    assert fingerprint(tiny_flux) == before
