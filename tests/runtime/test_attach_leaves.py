"""What attaching changes, and that detaching changes it back."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline

from meancache_runtime import attach
from tests.runtime import by_hand
from tests.runtime.test_attach import CFG, FULL, PLAN, STEPS, run
from tests.tiny import tiny_flux as build


def sharing(pipe: FluxPipeline, *names: str) -> FluxPipeline:
    """Another pipeline with equal weights that shares the named components."""
    other = build()
    for name in names:
        setattr(other, name, getattr(pipe, name))
    return other


def test_detach_restores_the_very_objects(tiny_flux):
    attributes = dict(vars(tiny_flux))
    config = dict(tiny_flux.config)
    inner = [dict(vars(tiny_flux.transformer)), dict(vars(tiny_flux.scheduler))]
    with attach(tiny_flux, PLAN):
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
        with attach(tiny_flux, PLAN):
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
    with attach(tiny_flux, PLAN):
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
    with attach(tiny_flux, PLAN):
        del tiny_flux.transformer.note
    assert not hasattr(tiny_flux.transformer, "note")


def test_components_are_handed_on_as_they_are(tiny_flux):
    plain = tiny_flux.components
    with attach(tiny_flux, PLAN):
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
    with attach(tiny_flux, PLAN):
        tiny_flux.save_pretrained(tmp_path / "attached")
    files = sorted(p.relative_to(tmp_path / "plain") for p in (tmp_path / "plain").rglob("*.json"))
    assert files
    for file in files:
        plain, attached = ((tmp_path / d / file).read_text() for d in ("plain", "attached"))
        assert plain == attached
    loaded = FluxPipeline.from_pretrained(tmp_path / "attached")
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(run(loaded), expected)


def test_moving_and_converting_while_attached(tiny_flux):
    with attach(tiny_flux, FULL) as attachment:
        tiny_flux.to("cpu", torch.bfloat16)
        assert tiny_flux.dtype == torch.bfloat16
        assert tiny_flux.device == torch.device("cpu")
        latents = run(tiny_flux)
        assert latents.dtype == torch.bfloat16
        assert attachment.stats.denoiser_calls == STEPS
    assert torch.equal(run(tiny_flux), latents)


@pytest.mark.parametrize("names", [("transformer",), ("scheduler",), ("transformer", "scheduler")])
def test_a_pipeline_that_shares_components_is_not_affected(tiny_flux, names):
    other = sharing(tiny_flux, *names)
    full = run(other)
    with attach(tiny_flux, PLAN) as attachment:
        cached = run(tiny_flux)
        assert torch.equal(run(other), full)
        assert torch.equal(run(tiny_flux), cached)
        assert attachment.stats.denoiser_calls == 4
        assert torch.equal(run(other, **CFG), run(build(), **CFG))
    assert torch.equal(run(tiny_flux), full)


def test_two_attached_pipelines_that_share_components_follow_their_own_plans(tiny_flux):
    other = sharing(tiny_flux, "transformer", "scheduler")
    first, second = attach(tiny_flux, PLAN), attach(other, by_hand.schedule(STEPS, (0, 2)))
    a, b = run(tiny_flux), run(other)
    assert not torch.equal(a, b)
    assert torch.equal(run(tiny_flux), a)
    assert torch.equal(run(other), b)
    assert (first.stats.denoiser_calls, second.stats.denoiser_calls) == (4, 2)
    first.detach()
    assert torch.equal(run(other), b)
    second.detach()
    assert other.transformer is tiny_flux.transformer
    assert torch.equal(run(other), run(tiny_flux))


def test_runs_may_be_nested_where_the_scheduler_is_not_shared(tiny_flux):
    other = sharing(tiny_flux, "transformer")
    with attach(tiny_flux, PLAN) as first, attach(other, by_hand.schedule(STEPS, (0, 2))):
        a, b = run(tiny_flux), run(other)
        inside: list[torch.Tensor] = []

        def nest(pipe: Any, step: int, t: Any, tensors: Any) -> Any:
            inside.append(run(other))
            return tensors

        assert torch.equal(run(tiny_flux, callback_on_step_end=nest), a)
        assert first.stats.denoiser_calls == 4
    assert len(inside) == STEPS
    assert all(torch.equal(latents, b) for latents in inside)


def test_threads_with_a_pipeline_each_may_share_the_transformer(tiny_flux):
    pipes = [tiny_flux, sharing(tiny_flux, "transformer"), sharing(tiny_flux, "transformer")]
    plans = [PLAN, by_hand.schedule(STEPS, (0, 2)), None]
    attachments = [attach(p, s) for p, s in zip(pipes, plans, strict=True) if s is not None]
    expected = [run(pipe) for pipe in pipes]
    results: list[list[torch.Tensor]] = [[], [], []]
    barrier = threading.Barrier(3)

    def work(i: int) -> None:
        barrier.wait(30)
        results[i] += [run(pipes[i]) for _ in range(4)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, latents in zip(results, expected, strict=True):
        assert len(got) == 4
        assert all(torch.equal(g, latents) for g in got)
    for attachment in attachments:
        attachment.detach()
