"""IP-Adapters and ControlNets: adapters as well, known by what they add to the denoiser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor

from meancache_runtime import attach
from meancache_runtime.errors import ModelMismatchError
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from tests.families.by_sampler import followed_by_hand
from tests.plans import BUDGET, PLAN, SCHEDULE
from tests.runtime.hosts.diffusers.loras import in_effect, made_on, made_with
from tests.runtime.hosts.diffusers.tiny_runs import CFG, CONTROLNET, run, two_controlnets
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


def loaded(pipe: Any) -> dict[str, Any]:
    """Load an IP-Adapter of random weights as users do; what a call of it is given."""
    torch.manual_seed(0)
    projection = {
        "proj.weight": 0.3 * torch.randn(4 * WIDTH, 8),
        "proj.bias": torch.zeros(4 * WIDTH),
    }
    projection |= {"norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH)}
    attention = {f"0.to_{k}_ip.weight": torch.randn(WIDTH, WIDTH) for k in "kv"}
    attention |= {f"0.to_{k}_ip.bias": torch.zeros(WIDTH) for k in "kv"}
    pipe.load_ip_adapter(
        {"image_proj": projection, "ip_adapter": attention},
        weight_name="random",
        image_encoder_pretrained_model_name_or_path=None,
    )
    pipe.set_ip_adapter_scale(0.7)
    pictures = torch.randn(2, 1, 1, 8)
    names = "ip_adapter_image_embeds", "negative_ip_adapter_image_embeds"
    return {name: [picture] for name, picture in zip(names, pictures, strict=True)}


@pytest.mark.parametrize("cfg", [{}, CFG], ids=["one branch", "two branches"])
def test_with_an_ip_adapter_a_plan_is_followed_as_by_hand(
    tiny_flux: Any, cfg: dict[str, Any]
) -> None:
    plain = run(tiny_flux, **cfg)
    call = cfg | loaded(tiny_flux)
    assert (run(tiny_flux, **call) - plain).norm() > 0.1 * plain.norm()
    with followed_by_hand(type(tiny_flux.scheduler), PLAN):
        expected = run(tiny_flux, **call)
    with attach(tiny_flux, SCHEDULE) as attached:
        torch.testing.assert_close(run(tiny_flux, **call), expected, rtol=1e-4, atol=1e-5)
        assert attached.stats.denoiser_calls == BUDGET * (2 if cfg else 1)
        tiny_flux.unload_ip_adapter()
    assert torch.equal(run(tiny_flux, **cfg), plain)


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
