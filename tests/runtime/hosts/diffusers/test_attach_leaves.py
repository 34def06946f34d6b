"""What attaching changes, and that detaching changes it back."""

from __future__ import annotations

import inspect

import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline

from meancache_runtime import attach
from tests.plans import FULL, SCHEDULE, STEPS
from tests.runtime.hosts.diffusers.tiny_runs import run


def test_detach_restores_the_very_objects(tiny_flux):
    attributes = dict(vars(tiny_flux))
    config = dict(tiny_flux.config)
    inner = [dict(vars(tiny_flux.transformer)), dict(vars(tiny_flux.scheduler))]
    with attach(tiny_flux, SCHEDULE):
        assert tiny_flux.transformer is not attributes["transformer"]
    assert type(tiny_flux) is FluxPipeline
    assert list(vars(tiny_flux)) == list(attributes)
    assert all(value is attributes[name] for name, value in vars(tiny_flux).items())
    assert dict(tiny_flux.config) == config
    now = [dict(vars(tiny_flux.transformer)), dict(vars(tiny_flux.scheduler))]
    assert [list(attributes) for attributes in now] == [list(attributes) for attributes in inner]


def test_detach_restores_after_runs_and_after_an_exception(tiny_flux):
    transformer, scheduler = tiny_flux.transformer, tiny_flux.scheduler

    def in_a_block() -> None:
        with attach(tiny_flux, SCHEDULE):
            run(tiny_flux)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_a_block()
    assert tiny_flux.transformer is transformer
    assert tiny_flux.scheduler is scheduler
    assert type(tiny_flux) is FluxPipeline
    assert "forward" not in vars(transformer)
    assert "step" not in vars(scheduler)


def test_an_attached_pipeline_still_looks_like_itself(tiny_flux):
    plain = {
        "call": inspect.signature(tiny_flux.__call__),
        "step": inspect.signature(tiny_flux.scheduler.step),
        "repr": repr(tiny_flux.transformer),
        "len": len(tiny_flux.scheduler),
    }
    with attach(tiny_flux, SCHEDULE):
        assert isinstance(tiny_flux, FluxPipeline)
        assert type(tiny_flux).__name__ == "FluxPipeline"
        assert isinstance(tiny_flux.transformer, torch.nn.Module)
        assert tiny_flux.transformer
        assert "time_text_embed" in dir(tiny_flux.transformer)
        assert tiny_flux.scheduler.config.shift == 3.0
        assert plain == {
            "call": inspect.signature(tiny_flux.__call__),
            "step": inspect.signature(tiny_flux.scheduler.step),
            "repr": repr(tiny_flux.transformer),
            "len": len(tiny_flux.scheduler),
        }
        tiny_flux.transformer.note = "kept"
    assert tiny_flux.transformer.note == "kept"
    with attach(tiny_flux, SCHEDULE):
        del tiny_flux.transformer.note
    assert not hasattr(tiny_flux.transformer, "note")


def test_components_are_handed_on_as_they_are(tiny_flux):
    plain = tiny_flux.components
    with attach(tiny_flux, SCHEDULE):
        assert all(tiny_flux.components[name] is plain[name] for name in plain)
        other = FluxPipeline(**tiny_flux.components)
        third = FluxImg2ImgPipeline.from_pipe(tiny_flux)
        with attach(other, FULL):
            pass
    assert other.transformer is third.transformer is tiny_flux.transformer
    assert other.config["transformer"] == ("diffusers", "FluxTransformer2DModel")


def test_saving_while_attached_saves_the_plain_pipeline(tiny_flux, tmp_path):
    expected = run(tiny_flux)
    tiny_flux.save_pretrained(tmp_path / "plain")
    with attach(tiny_flux, SCHEDULE):
        tiny_flux.save_pretrained(tmp_path / "attached")
    files = sorted(p.relative_to(tmp_path / "plain") for p in (tmp_path / "plain").rglob("*.json"))
    assert files
    for file in files:
        plain, attached = ((tmp_path / d / file).read_text() for d in ("plain", "attached"))
        assert plain == attached
    loaded = FluxPipeline.from_pretrained(tmp_path / "attached")
    loaded.set_progress_bar_config(disable=True)
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        saved, own = (getattr(p, name).state_dict() for p in (loaded, tiny_flux))
        assert saved.keys() == own.keys()
        assert all(torch.equal(saved[key], own[key]) for key in own)
    torch.testing.assert_close(run(loaded), expected, rtol=0, atol=1e-5)  # other memory, other bits


def test_moving_and_converting_while_attached(tiny_flux):
    with attach(tiny_flux, FULL) as attachment:
        tiny_flux.to("cpu", torch.bfloat16)
        assert tiny_flux.dtype == torch.bfloat16
        assert tiny_flux.device == torch.device("cpu")
        latents = run(tiny_flux)
        assert latents.dtype == torch.bfloat16
        assert attachment.stats.denoiser_calls == STEPS
    assert torch.equal(run(tiny_flux), latents)
