"""Adapters (LoRA): the pipeline's, compared with those that a schedule was compiled with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from meancache_runtime import attach
from meancache_runtime.errors import ModelMismatchError
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from meancache_runtime.hosts.diffusers.identity import fingerprint
from meancache_runtime.schedule import Adapter, Schedule
from tests.counting import count_calls
from tests.plans import SCHEDULE
from tests.runtime.hosts.diffusers.loras import MADE, add, in_effect, made_on, made_with
from tests.runtime.hosts.diffusers.tiny_runs import run


def named(*names: str) -> Schedule:
    """A schedule that knows no digests."""
    return made_with(*(Adapter(name, None) for name in names))


def assert_refused(pipe: Any, schedule: Schedule, words: str) -> None:
    """Attaching gives a warning with these words, and if strict is refused with them."""
    with attach(pipe, schedule) as attached:
        (at_once,) = attached.stats.warnings
        with pytest.warns(UserWarning, match="its measured quality does not hold") as aloud:
            run(pipe)
        (warning,) = attached.stats.warnings
        assert [str(each.message) for each in aloud] == [warning.message]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(pipe)
        assert attached.stats.request == "unknown"
    assert warning == at_once
    assert warning.kind == "adapters"
    assert words in warning.message
    transformer = pipe.transformer
    with pytest.raises(ModelMismatchError, match=words):
        attach(pipe, schedule, strict=True)
    assert pipe.transformer is transformer


def assert_accepted(pipe: Any, schedule: Schedule) -> None:
    with attach(pipe, schedule, strict=True) as attached:
        run(pipe)
    assert attached.stats.warnings == ()


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ((), ("style",), "with no adapters, but this pipeline has the adapters style"),
        (("style",), (), "with the adapters style, but this pipeline has no adapters"),
        (
            ("other",),
            ("style",),
            "the adapters other, but this pipeline has the adapters style",
        ),
    ],
)
def test_other_adapters_are_a_warning_and_if_strict_an_error(tiny_flux, there, here, words):
    for name in here:
        add(tiny_flux, name)
    assert_refused(tiny_flux, named(*there), words)


def other_weights(pipe: Any) -> None:
    pipe.delete_adapters("style")
    add(pipe, "style", seed=1)


def one_other_value(pipe: Any) -> None:
    weights = [w for key, w in pipe.transformer.named_parameters() if "lora_B" in key]
    weights[-1].data[0, 0] += 0.25


CHANGES = {
    "other weights": other_weights,
    "one other value": one_other_value,
    "another weight in set_adapters": lambda pipe: pipe.set_adapters(["style"], [0.9]),
    "another scale in one block": lambda pipe: pipe.transformer.set_adapters(
        ["style"], [{"single_transformer_blocks.1.": 0.5}]
    ),
    "fused at another scale": lambda pipe: pipe.fuse_lora(lora_scale=0.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_other_weights_or_another_scale_under_the_same_name_are_refused(
    tiny_flux, change: Callable[[Any], None]
):
    add(tiny_flux, "style")
    schedule = made_on(tiny_flux)
    assert_accepted(tiny_flux, schedule)
    before = run(tiny_flux)
    change(tiny_flux)
    assert in_effect(tiny_flux) == ["style"]
    assert not torch.equal(run(tiny_flux), before)
    assert_refused(tiny_flux, schedule, "other weights or another scale of the adapters style")


def test_of_several_adapters_the_changed_ones_are_told_from_the_others(tiny_flux):
    for seed, name in enumerate("abc"):
        add(tiny_flux, name, seed=seed)
    tiny_flux.set_adapters(["a", "b"])
    schedule = made_on(tiny_flux)
    tiny_flux.set_adapters(["a", "b"], [1.0, 0.5])
    assert_refused(tiny_flux, schedule, "other weights or another scale of the adapters b: ")
    tiny_flux.set_adapters(["a", "b", "c"], [1.0, 0.5, 1.0])
    words = r"has the adapters a, b, c \(the adapters b with other weights or another scale\)"
    with pytest.raises(ModelMismatchError, match=words):
        attach(tiny_flux, schedule, strict=True)


def test_the_same_weights_under_another_name_are_the_same_adapter(tiny_flux):
    add(tiny_flux, "style")
    schedule = made_on(tiny_flux)
    tiny_flux.delete_adapters("style")
    add(tiny_flux, "default_0")
    assert_accepted(tiny_flux, schedule)


def test_two_names_exchanged_are_the_same_two_adapters(tiny_flux):
    add(tiny_flux, "a", seed=0)
    add(tiny_flux, "b", seed=1)
    tiny_flux.set_adapters(["a", "b"])
    one, two = adapters_in_effect(tiny_flux)
    exchanged = made_with(Adapter("a", two.digest), Adapter("b", one.digest))
    assert_accepted(tiny_flux, exchanged)


def test_the_same_adapters_in_any_order_are_neither(tiny_flux):
    add(tiny_flux, "b")
    add(tiny_flux, "a")
    tiny_flux.set_adapters(["b", "a"])
    with attach(tiny_flux, named("b", "a")) as attached:
        run(tiny_flux)
    assert attached.stats.warnings == ()
    assert_accepted(tiny_flux, made_with(*reversed(adapters_in_effect(tiny_flux))))


def test_one_adapter_twice_is_not_that_adapter_once(tiny_flux):
    add(tiny_flux, "a")
    once = made_on(tiny_flux)
    add(tiny_flux, "b")
    tiny_flux.set_adapters(["a", "b"])
    assert_refused(tiny_flux, once, "with the adapters a, but this pipeline has the adapters a, b")


def assert_compared_by_name(pipe: Any, schedule: Schedule) -> None:
    with attach(pipe, schedule) as attached:
        run(pipe)
    assert attached.stats.warnings == ()
    with pytest.raises(ModelMismatchError, match="adapters style cannot be compared"):
        attach(pipe, schedule, strict=True)


def test_without_a_digest_in_the_schedule_adapters_are_compared_by_name(tiny_flux):
    add(tiny_flux, "style")
    assert_compared_by_name(tiny_flux, named("style"))
    tiny_flux.fuse_lora()
    tiny_flux.unload_lora_weights()
    assert_compared_by_name(tiny_flux, named("style"))


def test_what_cannot_be_read_is_compared_by_name_and_if_strict_refused(tiny_flux):
    add(tiny_flux, "style")
    schedule = made_on(tiny_flux)
    tiny_flux.fuse_lora()
    assert_accepted(tiny_flux, schedule)
    tiny_flux.unload_lora_weights()
    assert_compared_by_name(tiny_flux, schedule)


def test_one_that_is_fused_does_not_hide_behind_one_that_takes_its_name(tiny_flux):
    add(tiny_flux, "style", seed=1)
    schedule = made_on(tiny_flux)
    tiny_flux.delete_adapters("style")
    add(tiny_flux, "style", seed=2)
    tiny_flux.fuse_lora()
    tiny_flux.unload_lora_weights()
    add(tiny_flux, "style", seed=1)
    unread, loaded = sorted(adapters_in_effect(tiny_flux), key=lambda a: a.digest is not None)
    assert (unread, loaded.digest) == (Adapter("style", None), schedule.model.adapters[0].digest)
    assert_refused(
        tiny_flux, schedule, "adapters style, but this pipeline has the adapters style, style"
    )


def test_of_a_fused_adapter_the_scale_is_what_its_layers_say(tiny_flux):
    """A limit that the specification states: peft keeps no other record of it."""
    add(tiny_flux, "style")
    tiny_flux.set_adapters(["style"], [0.5])
    half = made_on(tiny_flux)
    tiny_flux.set_adapters(["style"], [1.0])
    tiny_flux.fuse_lora()
    expected = run(tiny_flux)
    tiny_flux.set_adapters(["style"], [0.5])
    assert torch.equal(run(tiny_flux), expected)
    assert_accepted(tiny_flux, half)


def test_an_adapter_of_weight_0_is_none(tiny_flux):
    without, schedule = run(tiny_flux), made_on(tiny_flux)
    add(tiny_flux, "style")
    tiny_flux.set_adapters(["style"], [0.0])
    assert torch.equal(run(tiny_flux), without)
    assert_accepted(tiny_flux, schedule)


def test_hostile_names_are_cut_short(tiny_flux):
    add(tiny_flux, "style")
    schedule = made_with(*(Adapter("x" * 1000, None) for _ in range(64)))
    with attach(tiny_flux, schedule) as attached:
        (warning,) = attached.stats.warnings
    assert "x" * 57 + "..., " in warning.message
    assert len(warning.message) < 900


def test_a_schedule_for_any_model_does_not_ask(tiny_flux):
    add(tiny_flux, "style")
    assert_accepted(tiny_flux, replace(SCHEDULE, generation=MADE))


def test_a_swap_while_attached_is_seen_by_the_next_run(tiny_flux):
    add(tiny_flux, "a")
    add(tiny_flux, "b", seed=1)
    tiny_flux.set_adapters(["a"])
    with attach(tiny_flux, made_on(tiny_flux)) as attached:
        run(tiny_flux)
        assert attached.stats.warnings == ()
        tiny_flux.set_adapters(["b"])
        run(tiny_flux)
        assert [warning.kind for warning in attached.stats.warnings] == ["adapters"]
        tiny_flux.set_adapters(["a"])
        run(tiny_flux)
        assert attached.stats.warnings == ()


def test_strict_a_swap_while_attached_is_refused_before_the_denoiser_runs(tiny_flux):
    add(tiny_flux, "a")
    add(tiny_flux, "b", seed=1)
    tiny_flux.set_adapters(["a"])
    calls = count_calls(tiny_flux.transformer)
    with attach(tiny_flux, made_on(tiny_flux), strict=True):
        expected = run(tiny_flux)
        tiny_flux.set_adapters(["b"])
        calls.clear()
        with pytest.raises(ModelMismatchError, match=r"adapters a, .* adapters b"):
            run(tiny_flux)
        assert calls == []
        tiny_flux.set_adapters(["a"])
        assert torch.equal(run(tiny_flux), expected)


def test_adapters_do_not_change_the_fingerprint(tiny_flux):
    before = fingerprint(tiny_flux)
    add(tiny_flux, "style")
    assert fingerprint(tiny_flux) == before
