"""What a pipeline does while a schedule is attached."""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from meancache_runtime import attach
from tests.counting import count_calls
from tests.plans import FULL, KNOTS, PLAN, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import CFG, Record, run


@contextmanager
def raising(target: Any, name: str, at_call: int):
    """``target.name`` raises at its n-th call (0-based)."""
    original, calls = getattr(target, name), [0]

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] > at_call:
            raise RuntimeError("broken on purpose")
        return original(*args, **kwargs)

    setattr(target, name, failing)
    try:
        yield
    finally:
        delattr(target, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, CFG], ids=["plain", "cfg"])
@pytest.mark.parametrize("prompt", ["a cat", ["a cat", "a dog", "a bird"]], ids=["one", "batch"])
def test_budget_t_is_bit_identical(tiny_flux, dtype, options, prompt):
    tiny_flux.to(dtype)
    expected = run(tiny_flux, prompt, **options)
    with attach(tiny_flux, FULL):
        assert torch.equal(run(tiny_flux, prompt, **options), expected)
    assert torch.equal(run(tiny_flux, prompt, **options), expected)


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("prompt", ["a cat", ["a cat", "a dog"]], ids=["one", "batch"])
@pytest.mark.parametrize("branches", [1, 2])
def test_every_step_gets_what_replay_by_hand_gives(tiny_flux, branches, prompt, images):
    record = Record(tiny_flux)
    count = 1 if isinstance(prompt, str) else len(prompt)
    options = CFG | {"negative_prompt": ["blur"] * count} if branches == 2 else {}
    with attach(tiny_flux, SCHEDULE, budget=4) as attachment:
        latents = run(tiny_flux, prompt, num_images_per_prompt=images, **options)
    fresh = record.outputs
    if branches == 2:
        fresh = [n + 2.5 * (p - n) for p, n in zip(fresh[::2], fresh[1::2], strict=True)]
    assert len(fresh) == len(KNOTS)
    expected = by_hand.answers(PLAN, tiny_flux.scheduler.sigmas.tolist(), fresh)
    for received, answer in zip(record.received, expected, strict=True):
        assert torch.allclose(received.double(), answer, rtol=1e-5, atol=1e-5)
    assert len(latents) == images * count
    stats = attachment.stats
    assert (stats.refreshes, stats.cached_steps, stats.denoiser_calls) == (4, 4, 4 * branches)


def test_the_attached_run_differs_from_the_full_run_but_stays_near_it(tiny_flux):
    full = run(tiny_flux)
    with attach(tiny_flux, SCHEDULE):
        cached = run(tiny_flux)
    assert not torch.equal(full, cached)
    assert (full - cached).norm() < 0.2 * full.norm()


def test_bfloat16_history_is_kept_in_float32(tiny_flux):
    tiny_flux.to(torch.bfloat16)
    record = Record(tiny_flux)
    dtypes = set()

    def look(pipe, step, t, tensors):
        machine = attachment._run.main.machine
        dtypes.update(tensor.dtype for tensor in machine._fresh.values())
        return tensors

    with attach(tiny_flux, SCHEDULE) as attachment:
        latents = run(tiny_flux, callback_on_step_end=look)
    assert dtypes == {torch.float32}
    assert latents.dtype == torch.bfloat16
    sigmas = tiny_flux.scheduler.sigmas.tolist()
    expected = by_hand.answers(PLAN, sigmas, record.outputs)
    for received, answer in zip(record.received, expected, strict=True):
        assert torch.equal(received, answer.to(torch.bfloat16)) or torch.allclose(
            received.double(), answer, rtol=2**-8, atol=1e-6
        )


def test_a_callback_may_edit_the_velocity_free_prompt(tiny_flux):
    def other_prompt(pipe, step, t, tensors):
        return {"prompt_embeds": tensors["prompt_embeds"] * 0.9}

    options = {
        "callback_on_step_end": other_prompt,
        "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"],
    }
    expected = run(tiny_flux, **options)
    with attach(tiny_flux, FULL):
        assert torch.equal(run(tiny_flux, **options), expected)


def test_pictures_come_out_as_from_the_plain_pipeline(tiny_flux):
    expected = run(tiny_flux, output_type="np")
    with attach(tiny_flux, FULL):
        assert (run(tiny_flux, output_type="np") == expected).all()


@pytest.mark.parametrize(
    ("place", "at_call"),
    [
        ("transformer.forward", 0),
        ("transformer.forward", 2),
        ("scheduler.step", 0),
        ("scheduler.step", 5),
        ("vae.decode", 0),
        ("text_encoder_2.forward", 0),
        ("callback", 4),
    ],
)
def test_an_exception_leaves_nothing_behind(tiny_flux, place, at_call):
    velocities: list[weakref.ref[torch.Tensor]] = []
    tiny_flux.transformer.register_forward_hook(
        lambda _module, _args, output: velocities.append(weakref.ref(output[0]))
    )

    def callback(pipe, step, t, tensors):
        if step == at_call and place == "callback":
            raise RuntimeError("broken on purpose")
        return tensors

    attachment = attach(tiny_flux, SCHEDULE)
    expected = run(tiny_flux)
    name, _, method = place.partition(".")
    if place == "callback":
        with pytest.raises(RuntimeError, match="on purpose"):
            run(tiny_flux, callback_on_step_end=callback)
    else:
        component = vars(attachment)["_scheduler"] if name == "scheduler" else None
        component = component or tiny_flux.components[name]
        with raising(component, method, at_call), pytest.raises(RuntimeError, match="on purpose"):
            run(tiny_flux, output_type="pt")
    gc.collect()
    assert not any(velocity() is not None for velocity in velocities)
    assert attachment._run is None
    assert torch.equal(run(tiny_flux), expected)
    attachment.detach()
    assert torch.equal(run(tiny_flux), run(tiny_flux))


def test_no_tensor_is_kept_after_a_run(tiny_flux):
    kept: list[weakref.ref[torch.Tensor]] = []
    tiny_flux.transformer.register_forward_hook(
        lambda _module, _args, output: kept.append(weakref.ref(output[0]))
    )
    with attach(tiny_flux, SCHEDULE):
        run(tiny_flux)
        gc.collect()
        assert [velocity() for velocity in kept] == [None] * len(KNOTS)


def test_a_second_run_starts_anew(tiny_flux):
    with attach(tiny_flux, SCHEDULE) as attachment:
        first = run(tiny_flux)
        run(tiny_flux, ["a dog", "a bird"], **CFG)
        assert attachment.stats.denoiser_calls == 8
        assert torch.equal(run(tiny_flux), first)
        assert attachment.stats.denoiser_calls == 4


def test_detaching_in_a_callback_leaves_the_rest_of_the_run_plain(tiny_flux):
    attachment = attach(tiny_flux, SCHEDULE)

    def detach(pipe, step, t, tensors):
        if step == 3:
            attachment.detach()
        return tensors

    calls = count_calls(tiny_flux.transformer)
    run(tiny_flux, callback_on_step_end=detach)
    assert len(calls) == 3 + (STEPS - 4)
    assert attachment.stats.refreshes == 3


def test_other_uses_of_the_components_are_not_intercepted(tiny_flux):
    with attach(tiny_flux, SCHEDULE) as attachment:
        run(tiny_flux)
        calls = attachment.stats.denoiser_calls
        embeds = torch.zeros(1, 12, 16)
        arguments = {
            "hidden_states": torch.zeros(1, 16, 16),
            "timestep": torch.ones(1),
            "pooled_projections": torch.zeros(1, 16),
            "encoder_hidden_states": embeds,
            "txt_ids": torch.zeros(12, 3),
            "img_ids": torch.zeros(16, 3),
        }
        assert tiny_flux.transformer(**arguments).sample.shape == (1, 16, 16)
        scheduler = tiny_flux.scheduler
        scheduler.set_timesteps(3)
        z = torch.ones(1)
        for t in scheduler.timesteps:
            z = scheduler.step(torch.ones(1), t, z).prev_sample
        assert z.item() == pytest.approx(0.0, abs=1e-6)
        assert attachment.stats.denoiser_calls == calls
