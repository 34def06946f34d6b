"""The model that a schedule is for: known by its denoiser's fingerprint, or by its hub id."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from meancache_runtime import attach
from meancache_runtime.errors import (
    ModelMismatchError,
)
from meancache_runtime.hosts.diffusers.identity import fingerprint, hub_id
from meancache_runtime.schedule import Model
from tests.plans import SCHEDULE
from tests.runtime.hosts.diffusers.tiny_runs import run
from tests.tiny import tiny_flux as build

SPECIFICATION = Path(__file__).parents[4] / "schedules" / "README.md"
MODEL = Model("owner/model", None, None, "FluxPipeline", None, ())


def test_another_models_schedule(tiny_flux):
    own = replace(MODEL, fingerprint=fingerprint(tiny_flux))
    with attach(tiny_flux, replace(SCHEDULE, model=own)):
        assert run(tiny_flux).isfinite().all()
    other = replace(MODEL, fingerprint=fingerprint(build(guidance_embeds=True)))
    with pytest.raises(ModelMismatchError, match=r"compiled for owner/model.*calibrate"):
        attach(tiny_flux, replace(SCHEDULE, model=other))


def test_another_hub_ids_schedule(tiny_flux):
    tiny_flux.register_to_config(_name_or_path="someone/else")
    assert hub_id(tiny_flux) == "someone/else"
    with pytest.raises(ModelMismatchError, match=r"owner/model, but this pipeline is someone/else"):
        attach(tiny_flux, replace(SCHEDULE, model=MODEL))
    with attach(tiny_flux, replace(SCHEDULE, model=replace(MODEL, id="someone/else"))):
        pass
    with attach(tiny_flux, replace(SCHEDULE, model=None)):
        pass


def test_the_fingerprint_survives_saving_wrapping_compiling_and_precision(tiny_flux, tmp_path):
    before = fingerprint(tiny_flux)
    tiny_flux.transformer.save_pretrained(tmp_path)
    tiny_flux.transformer = type(tiny_flux.transformer).from_pretrained(tmp_path)
    tiny_flux.to(torch.bfloat16)
    assert fingerprint(tiny_flux) == before
    tiny_flux.transformer = get_peft_model(
        tiny_flux.transformer, LoraConfig(target_modules=["to_q"])
    )
    assert fingerprint(tiny_flux) == before
    tiny_flux.transformer = torch.compile(tiny_flux.transformer, backend="eager")
    assert fingerprint(tiny_flux) == before
    assert fingerprint(build(guidance_embeds=True)) != before


def test_the_fingerprint_is_the_specified_one(tiny_flux):
    """The worked example of schedules/README.md."""
    tiny_flux.transformer.register_to_config(quantization_config={"bits": 4})
    text = (
        '{"transformer":["FluxTransformer2DModel",{"attention_head_dim":8,"axes_dims_rope":[2,2,4],'
        '"in_channels":16,"joint_attention_dim":16,"num_attention_heads":2,"num_layers":1,'
        '"num_single_layers":2,"pooled_projection_dim":16}]}'
    )
    assert fingerprint(tiny_flux) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    specification = SPECIFICATION.read_text()
    assert text in specification
    assert fingerprint(tiny_flux) in specification
