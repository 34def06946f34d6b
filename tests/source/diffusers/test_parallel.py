"""What processes cannot share is refused by name, before they wait for each other."""

from __future__ import annotations

import pytest
from diffusers import FluxPipeline

from meancache_plan.errors import InputError
from meancache_plan.source.diffusers.parallel import share, shared


def test_what_is_not_shared_says_so(tiny_flux: FluxPipeline) -> None:
    assert shared(tiny_flux) is None


def test_a_way_that_does_not_exist_is_refused(tiny_flux: FluxPipeline) -> None:
    with pytest.raises(InputError, match="--parallel 'ring': choose from fsdp, ulysses"):
        share(tiny_flux, "ring")


def test_tokens_of_a_model_without_a_plan_are_not_shared(
    tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(tiny_flux.transformer), "_cp_plan", None)
    with pytest.raises(InputError, match="cannot do that with FluxTransformer2DModel; choose fsdp"):
        share(tiny_flux, "ulysses")


def test_tokens_are_not_shared_by_processes_without_gpus(
    tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 0)
    with pytest.raises(InputError, match="needs GPUs, of which there is none; choose fsdp"):
        share(tiny_flux, "ulysses")
