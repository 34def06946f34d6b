"""IP-Adapters and ControlNets: adapters as well, known by what they add to the denoiser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor

from meancache_runtime import attach
from meancache_runtime.errors import ModelMismatchError
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from tests.runtime.hosts.diffusers.given import CONTROLNET, two_controlnets
from tests.runtime.hosts.diffusers.loras import in_effect, made_on, made_with
from tests.tiny import WIDTH


def load(pipe: Any, *scales: float, seed: int = 0) -> None:
    """IP-Adapters of random weights, as ``load_ip_adapter`` puts them into the attentions."""
    torch.manual_seed(seed)
    tokens = [4] * len(scales)
    for name, processor in pipe.transformer.attn_processors.items():
        if "single" not in name:
            processor = FluxIPAdapterAttnProcessor(WIDTH, WIDTH, tokens, scale=list(scales))
        pipe.transformer.get_submodule(name.removesuffix(".processor")).set_processor(processor)


def assert_other(pipe: Any, made: Any, words: str) -> None:
    """Other adapters than a schedule was made with are noted, and if strict refused."""
    with attach(pipe, made) as attached:
        [warning] = attached.stats.warnings
        assert (warning.kind, attached.stats.request) == ("adapters", "unknown")
        assert words in warning.message
    with pytest.raises(ModelMismatchError, match=words):
        attach(pipe, made, strict=True)


def test_an_ip_adapter_is_known_by_weights_and_scale(tiny_flux: Any) -> None:
    without = made_on(tiny_flux)
    load(tiny_flux, 0.6)
    made = made_on(tiny_flux)
    attach(tiny_flux, made, strict=True).detach()
    assert_other(
        tiny_flux, without, "with no adapters, but this pipeline has the adapters IP-Adapter"
    )
    changed = "other weights or another scale of the adapters IP-Adapter"
    load(tiny_flux, 0.7)
    assert_other(tiny_flux, made, changed)
    load(tiny_flux, 0.6, seed=1)
    assert_other(tiny_flux, made, changed)


def test_of_several_ip_adapters_those_of_scale_0_are_none(tiny_flux: Any) -> None:
    load(tiny_flux, 0.6, 0.4)
    assert in_effect(tiny_flux) == ["IP-Adapter", "IP-Adapter 2"]
    first, second = adapters_in_effect(tiny_flux)
    assert None not in (first.digest, second.digest)
    assert first.digest != second.digest
    load(tiny_flux, 0.0, 0.4)
    assert [adapter.name for adapter in adapters_in_effect(tiny_flux)] == ["IP-Adapter 2"]


@pytest.mark.parametrize("build", [CONTROLNET.build, two_controlnets], ids=["one", "several"])
def test_a_controlnet_is_known_by_its_weights(build: Any) -> None:
    pipe = build()
    made = made_on(pipe)
    assert made.model is not None
    assert made.model.adapters[0].digest is not None
    attach(pipe, made, strict=True).detach()
    assert_other(pipe, made_with(), "but this pipeline has the adapters ControlNet")
    with torch.no_grad():
        next(pipe.controlnet.parameters()).flatten()[0] += 0.5
    assert_other(pipe, made, "other weights or another scale of the adapters ControlNet")
