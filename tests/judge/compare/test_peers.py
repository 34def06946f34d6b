"""Other caches and solvers in the tiny pipeline, against what they must do."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from meancache_plan.core.psnr import mean_square
from meancache_plan.judge.compare.peers import (
    attention_caches,
    block_caches,
    cache_dit,
    few_step_solvers,
    plan_peers,
    sea_cache_inputs,
)
from meancache_plan.judge.contender import Contender, UnavailableError
from meancache_plan.judge.sample_cost import Forms, compute, make
from tests.extras import needs_cache_dit
from tests.judge.tiny_comparison import FULL, PROMPT, SCHEDULE, SEED, STEPS, tiny_pipeline

ONE, TWO = Forms(calls=1, batch=1), Forms(calls=2, batch=1)
RATIOS = [1.0] * STEPS

HARMLESS: dict[str, Callable[[Forms], list[Contender]]] = {
    "FirstBlockCache": lambda _: block_caches.first_block(STEPS, [0.0]),
    "MagCache": lambda _: block_caches.mag(STEPS, [1.1] * STEPS, [0.0], [3], 0.0),
    "TaylorSeer": lambda _: block_caches.taylorseer(STEPS, [1], [1], lite=False),
    "TaylorSeer lite": lambda _: block_caches.taylorseer(STEPS, [1], [2], lite=True),
    "SeaCache": lambda _: block_caches.sea(STEPS, [0.0], [3]),
    "PAB": lambda forms: attention_caches.pyramid(STEPS, forms, [1]),
}
"""Caches in a setting in which they skip nothing."""

EAGER: dict[str, Callable[[Forms], list[Contender]]] = {
    "FirstBlockCache": lambda _: block_caches.first_block(STEPS, [1e9]),
    "MagCache": lambda _: block_caches.mag(STEPS, RATIOS, [1.0], [STEPS], 0.0),
    "TaylorSeer": lambda _: block_caches.taylorseer(STEPS, [4], [1], lite=False),
    "TaylorSeer lite": lambda _: block_caches.taylorseer(STEPS, [4], [1], lite=True),
    "SeaCache": lambda _: block_caches.sea(STEPS, [1e9], [3]),
    "PAB": lambda forms: attention_caches.pyramid(STEPS, forms, [4]),
    "FasterCache": lambda forms: attention_caches.faster(STEPS, forms, [4]),
}
"""Caches in a setting in which they skip what they can."""

FOR_ONE_CALL = ("PAB", "FasterCache")


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("name", HARMLESS)
def test_a_cache_that_skips_nothing_gives_the_full_run(
    tiny_flux: FluxPipeline, name: str, guided: bool
) -> None:
    if guided and name in FOR_ONE_CALL:
        pytest.skip("refused: see below")
    (peer,) = HARMLESS[name](TWO if guided else ONE)
    check_harmless(tiny_flux, peer, guided)


@needs_cache_dit
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("order", [None, 1])
def test_dbcache_that_skips_nothing_gives_the_full_run(
    tiny_flux: FluxPipeline, order: int | None, guided: bool
) -> None:
    (peer,) = cache_dit.dual_block(STEPS, TWO if guided else ONE, [0.0], [2], order)
    check_harmless(tiny_flux, peer, guided)


def check_harmless(pipe: FluxPipeline, peer: Contender, guided: bool) -> None:
    pipeline = tiny_pipeline(pipe, guided)
    full, found = (make(pipeline, each, PROMPT, SEED) for each in (FULL, peer))
    torch.testing.assert_close(found.latents, full.latents, atol=1e-5, rtol=1e-5)
    assert compute(pipeline, peer, PROMPT, SEED).total == pytest.approx(
        compute(pipeline, FULL, PROMPT, SEED).total, rel=1e-12
    )


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("name", EAGER)
def test_a_cache_that_skips_saves_compute_and_leaves_no_trace(
    tiny_flux: FluxPipeline, name: str, guided: bool
) -> None:
    if guided and name in FOR_ONE_CALL:
        pytest.skip("refused: see below")
    (peer,) = EAGER[name](TWO if guided else ONE)
    check_eager(tiny_flux, peer, guided)


@needs_cache_dit
@pytest.mark.parametrize("guided", [False, True])
def test_dbcache_that_skips_saves_compute_and_leaves_no_trace(
    tiny_flux: FluxPipeline, guided: bool
) -> None:
    (peer,) = cache_dit.dual_block(STEPS, TWO if guided else ONE, [1e9], [2], 1)
    check_eager(tiny_flux, peer, guided)


def check_eager(pipe: FluxPipeline, peer: Contender, guided: bool) -> None:
    pipeline = tiny_pipeline(pipe, guided)
    before = make(pipeline, FULL, PROMPT, SEED)
    attributes = {name: set(vars(module)) for name, module in pipe.transformer.named_modules()}
    call = type(pipe).__call__
    cached = make(pipeline, peer, PROMPT, SEED)
    again = make(pipeline, peer, PROMPT, SEED)
    after = make(pipeline, FULL, PROMPT, SEED)
    share = (
        compute(pipeline, peer, PROMPT, SEED).total / compute(pipeline, FULL, PROMPT, SEED).total
    )
    assert share < 0.97
    assert not torch.equal(cached.latents, before.latents)
    assert torch.equal(cached.latents, again.latents), "state of one run reaches the next"
    assert torch.equal(before.latents, after.latents)
    assert type(pipe).__call__ is call
    assert attributes == {name: set(vars(m)) for name, m in pipe.transformer.named_modules()}


@pytest.mark.parametrize("make_peers", [attention_caches.pyramid, attention_caches.faster])
def test_caches_with_one_state_are_refused_where_guidance_takes_two_calls(
    tiny_flux: FluxPipeline, make_peers: Any
) -> None:
    (peer,) = make_peers(STEPS, TWO, [2])
    with pytest.raises(UnavailableError, match="one state"):
        make(tiny_pipeline(tiny_flux, guided=True), peer, PROMPT, SEED)


def test_sea_cache_that_only_says_that_it_cannot_is_unavailable(
    tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sea_cache_inputs, "_sides", lambda _: (0, 0))
    (peer,) = block_caches.sea(STEPS, [0.25], [2])
    with pytest.raises(UnavailableError, match="laid out is not known here"):
        make(tiny_pipeline(tiny_flux), peer, PROMPT, SEED)


@pytest.mark.parametrize("guided", [False, True])
def test_sea_cache_is_told_where_the_loop_is(
    tiny_flux: FluxPipeline, guided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = tiny_pipeline(tiny_flux, guided)
    seen: list[tuple[str, dict[str, Any]]] = []

    @contextmanager
    def noted(_module: Any, name: str, **where: Any) -> Generator[None]:
        seen.append((name, where))
        yield

    monkeypatch.setattr(type(tiny_flux.transformer), "cache_context", noted)
    with sea_cache_inputs.told(pipeline):
        pipeline.run(PROMPT, SEED, output_type="latent")
    levels = tiny_flux.scheduler.sigmas.tolist()
    names = ["cond", "uncond"] if guided else ["cond"]
    assert seen == [
        (name, {"step_index": step, "sigma": levels[step], "num_inference_steps": STEPS})
        for step in range(STEPS)
        for name in names
    ]
    assert "cache_context" not in vars(tiny_flux.transformer)


PACKED = {
    "img_ids": FluxPipeline._prepare_latent_image_ids(2, 3, 5, torch.device("cpu"), torch.float32),
    "img_shapes": [[(1, 3, 5)]] * 2,
}
"""How Flux and Qwen-Image say where their tokens lie."""


@pytest.mark.parametrize("name", PACKED)
def test_sea_cache_sees_the_latents_that_are_packed(name: str) -> None:
    known = torch.randn(2, 3, 6, 10)
    packed = FluxPipeline._pack_latents(known, 2, 3, 6, 10)
    call = {"hidden_states": packed, name: PACKED[name]}
    found = sea_cache_inputs.latents(torch.nn.Identity(), (), call)
    assert torch.equal(torch.stack(found), known.unsqueeze(2))


@pytest.mark.parametrize(("shape", "samples"), [((2, 3, 6, 10), 2), ((2, 3, 4, 6, 10), 2)])
def test_sea_cache_sees_pictures_and_films(shape: tuple[int, ...], samples: int) -> None:
    states = torch.randn(shape)
    found = sea_cache_inputs.latents(torch.nn.Identity(), (), {"hidden_states": states})
    assert [each.ndim for each in found] == [4] * samples
    assert torch.equal(torch.stack(found).reshape(shape), states)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"hidden_states": torch.zeros(2, 15, 12)},
        {"hidden_states": torch.zeros(2, 15, 10), "img_ids": PACKED["img_ids"]},
        {"hidden_states": torch.zeros(2, 30, 12), "img_shapes": PACKED["img_shapes"]},
    ],
)
def test_sea_cache_is_not_told_of_a_layout_that_is_not_known(call: dict[str, Any]) -> None:
    with pytest.raises((ValueError, RuntimeError)):  # which SeaCache takes for a reason
        sea_cache_inputs.latents(torch.nn.Identity(), (), call)


def test_a_denoiser_without_caches_is_named(tiny_flux: FluxPipeline) -> None:
    class Bare(torch.nn.Module):
        pass

    pipeline = tiny_pipeline(tiny_flux)
    vars(tiny_flux)["_modules"] = {}
    vars(tiny_flux)["transformer"] = Bare()
    (peer,) = block_caches.first_block(STEPS, [0.1])
    with pytest.raises(UnavailableError, match="Bare has no enable_cache"), peer.enter(pipeline):
        pass


def test_mag_cache_is_calibrated_with_the_ratios_of_its_residuals(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    residuals: list[torch.Tensor] = []
    inputs: list[torch.Tensor] = []
    first = tiny_flux.transformer.transformer_blocks[0]
    last = tiny_flux.transformer.single_transformer_blocks[-1]
    handles = [
        first.register_forward_pre_hook(
            lambda _m, _a, kwargs: inputs.append(kwargs["hidden_states"]), with_kwargs=True
        ),
        last.register_forward_hook(lambda _m, _i, out: residuals.append(out[1] - inputs[-1])),
    ]
    pipeline.run(PROMPT, 0, output_type="latent")
    for handle in handles:
        handle.remove()
    norms = [residual.norm(dim=-1) for residual in residuals]
    expected = [1.0] + [float((b / a).mean()) for a, b in pairwise(norms)]
    found = block_caches.magnitudes(pipeline, [PROMPT], 0, STEPS)
    assert found == pytest.approx(expected, rel=1e-4)


def test_solvers_take_the_noise_levels_that_the_pipeline_has(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    own = FlowMatchEulerDiscreteScheduler.from_config(tiny_flux.scheduler.config)
    own.set_timesteps(sigmas=[1.0, 0.8, 0.6, 0.4, 0.2])
    for peer in few_step_solvers.solvers(pipeline, PROMPT, [5, 9]):
        if peer.steps != 5:
            continue
        with peer.enter(pipeline):
            pipeline.run(PROMPT, SEED, steps=5, output_type="latent")
            levels = list(dict.fromkeys(tiny_flux.scheduler.sigmas.tolist()))
            timesteps = list(dict.fromkeys(tiny_flux.scheduler.timesteps.tolist()))
        assert levels == pytest.approx(own.sigmas.tolist(), abs=2e-6)
        assert timesteps == pytest.approx([1000 * level for level in levels[:-1]], rel=1e-6)


@pytest.mark.parametrize("name", few_step_solvers.SOLVERS)
def test_with_many_steps_every_solver_arrives_where_many_euler_steps_do(
    tiny_flux: FluxPipeline, name: str
) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    flow = make(pipeline, Contender("fine", "500", 500), PROMPT, SEED).latents

    def error(steps: int) -> float:
        cost = 2 * steps - 1 if name == "Heun" else steps
        found = few_step_solvers.solvers(pipeline, PROMPT, [cost])
        peer = next(peer for peer in found if peer.name == name)
        return mean_square(flow, make(pipeline, peer, PROMPT, SEED).latents) ** 0.5

    scale = float(flow.double().square().mean().sqrt())
    assert error(80) < 0.3 * error(10)
    assert error(80) < 0.003 * scale


def test_a_pipeline_that_starts_amid_its_levels_has_no_solvers(
    tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_step_solvers.call_arguments, "takes_strength", lambda _: True)
    pipeline = tiny_pipeline(tiny_flux)
    peer = few_step_solvers.solvers(pipeline, PROMPT, [3])[0]
    with pytest.raises(UnavailableError, match="partway"):
        make(pipeline, peer, PROMPT, SEED)
    assert few_step_solvers.flow(pipeline, PROMPT, 10) is None


def test_plans_of_all_budgets_compete(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    found = plan_peers.plans("plan", SCHEDULE)
    assert [peer.budget for peer in found] == [3, 5]
    calls = [make(pipeline, peer, PROMPT, SEED).calls for peer in found]
    assert calls == [3, 5]
