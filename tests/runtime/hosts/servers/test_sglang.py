"""SGLang-Diffusion's requests follow plans: its worker, faked, with our plug-in in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from meancache_runtime.errors import (
    BudgetError,
    ReplayError,
    ScheduleError,
    StackedCacheError,
    StepCountError,
    UnsupportedPipelineError,
    UnsupportedSchedulerError,
)
from meancache_runtime.hosts.servers.offer import SCHEDULE as SCHEDULE_SET
from tests.runtime.hosts.servers import world
from tests.runtime.hosts.servers.conftest import Offer
from tests.runtime.hosts.servers.world import BUDGET, CLOSE, EVERY, STEPS, Denoiser, write

Worker = Callable[..., Any]


@pytest.fixture
def worker(offer: Offer) -> Worker:
    """Start a worker: it loads plug-ins, puts their hooks in, and builds its pipeline."""

    def start(*schedules: Path, budget: int | None = None, **modules: Any) -> Any:
        offer(schedules, budget)
        from sglang.multimodal_gen import plugins
        from sglang.multimodal_gen.runtime import pipelines_core
        from sglang.multimodal_gen.runtime.euler import FlowMatchEulerDiscreteScheduler

        plugins.load_plugins()
        plugins.apply_plugin_hooks()
        role = modules.pop("role", "MONOLITHIC")
        usual = {"transformer": Denoiser(), "scheduler": FlowMatchEulerDiscreteScheduler()}
        return pipelines_core.build_pipeline(
            SimpleNamespace(
                model_path="/models/tiny",
                disagg_role=SimpleNamespace(name=role),
                modules=usual | modules,
            )
        )

    return start


def request(seed: int = 0, wishes: dict[str, Any] | None = None, **parameters: Any) -> Any:
    from sglang.multimodal_gen.runtime.req import Req

    extra = {} if wishes is None else {"diffusers_kwargs": wishes}
    return Req(world.noise(seed), **{"num_inference_steps": STEPS, "extra": extra} | parameters)


PLAIN = {"meancache_budget": 0}
CFG = {"do_classifier_free_guidance": True, "guidance_scale": 2.5}


def calls(pipeline: Any) -> int:
    return pipeline.get_module("transformer").calls


def test_without_a_word_in_the_environment_nothing_is_hooked(worker: Worker) -> None:
    pipeline = worker()
    from sglang.multimodal_gen.plugins import HookRegistry

    assert not HookRegistry._hooks
    found = pipeline.forward(request()).latents
    torch.testing.assert_close(found, world.plain(world.noise()), **CLOSE)
    assert calls(pipeline) == STEPS


@pytest.mark.parametrize("options", [{}, CFG], ids=["plain", "cfg"])
def test_a_request_takes_the_plans_steps_and_a_second_one_the_same(
    worker: Worker, tmp_path: Path, options: dict[str, Any]
) -> None:
    pipeline = worker(write(tmp_path))
    first = pipeline.forward(request(**options)).latents
    expected = world.expected(world.noise(), scale=options.get("guidance_scale", 1.0))
    torch.testing.assert_close(first, expected, **CLOSE)
    assert calls(pipeline) == BUDGET * (2 if options else 1)
    pipeline.forward(request(seed=1))
    assert torch.equal(pipeline.forward(request(**options)).latents, first)


def test_a_plan_of_every_step_changes_no_bit(worker: Worker, tmp_path: Path) -> None:
    pipeline = worker(write(tmp_path, "every", EVERY))
    plain = pipeline.forward(request(wishes=PLAIN)).latents
    assert torch.equal(pipeline.forward(request()).latents, plain)


def test_a_request_chooses_its_schedule_or_none(worker: Worker, tmp_path: Path) -> None:
    pipeline = worker(write(tmp_path), write(tmp_path, "every", EVERY), budget=BUDGET)
    pipeline.forward(request(wishes={"meancache_schedule": "every"}))
    assert calls(pipeline) == STEPS
    found = pipeline.forward(request(wishes=PLAIN, num_inference_steps=7)).latents
    torch.testing.assert_close(found, world.plain(world.noise(), 7), **CLOSE)


def test_the_servers_scheduler_stays_its_own_and_so_does_its_shift(
    worker: Worker, tmp_path: Path
) -> None:
    from sglang.multimodal_gen.runtime.euler import FlowMatchEulerDiscreteScheduler

    own = FlowMatchEulerDiscreteScheduler(mu=False)
    own.set_shift(3.0)
    before = deepcopy(vars(own))
    pipeline = worker(write(tmp_path), scheduler=own)
    seen = pipeline.forward(request()).scheduler
    assert isinstance(seen, FlowMatchEulerDiscreteScheduler)
    assert type(seen).__name__ != "FlowMatchEulerDiscreteScheduler"  # packed batches go by the name
    assert seen._shift == 3.0
    assert vars(own).keys() == before.keys()
    assert len(seen.timesteps) == BUDGET


def test_the_warm_up_takes_its_one_step_and_says_so(
    worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = worker(write(tmp_path))
    with caplog.at_level(logging.INFO, "sglang.meancache"):
        pipeline.forward(request().copy_as_warmup())
    assert calls(pipeline) == 1
    assert caplog.text.count("warm-up request") == 1
    pipeline.forward(request())
    assert calls(pipeline) == 1 + BUDGET


def test_requests_that_interleave_do_not_mix(worker: Worker, tmp_path: Path) -> None:
    pipeline = worker(write(tmp_path))
    prepared = [pipeline.timesteps.forward(request(seed)) for seed in range(2)]
    for seed, each in enumerate(prepared):
        found = pipeline.denoising.forward(each).latents
        torch.testing.assert_close(found, world.expected(world.noise(seed)), **CLOSE)


def test_a_group_that_shares_its_timesteps_follows_one_plan_or_is_refused(
    worker: Worker, tmp_path: Path
) -> None:
    pipeline = worker(write(tmp_path))
    alike = pipeline.timesteps.forward_group([request(0), request(1)])
    for seed, each in enumerate(alike):
        found = pipeline.denoising.forward(each).latents
        torch.testing.assert_close(found, world.expected(world.noise(seed)), **CLOSE)
    for wishes in ([None, PLAIN], [PLAIN, None]):
        group = [request(i, each) for i, each in enumerate(wishes)]
        _, other = pipeline.timesteps.forward_group(group)
        with pytest.raises(ReplayError, match="was given a scheduler that does not"):
            pipeline.denoising.forward(other)


def test_shards_of_latents_each_follow_the_plan_on_their_rank(
    worker: Worker, tmp_path: Path
) -> None:
    """Sequence parallel: the model sees all latents, each rank steps its own part of them."""
    pipeline = worker(write(tmp_path))
    whole = pipeline.forward(request()).latents
    ranks = [pipeline.timesteps.forward(request()) for _ in range(2)]
    latents = world.noise()
    parts = list(latents.split(2, dim=1))
    for t in ranks[0].timesteps:
        v = world.velocity(torch.cat(parts, dim=1), t / 1000, 1.0).split(2, dim=1)
        for i, rank in enumerate(ranks):
            parts[i] = rank.scheduler.step(v[i], t, parts[i], batch=rank, return_dict=False)[0]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **CLOSE)


def test_a_request_of_other_steps_is_refused_and_told_how_to_do_without(
    worker: Worker, tmp_path: Path
) -> None:
    pipeline = worker(write(tmp_path))
    message = f"few, budget {BUDGET}: .*made for {STEPS}.* or say meancache_budget 0"
    with pytest.raises(StepCountError, match=message):
        pipeline.forward(request(num_inference_steps=STEPS + 1))
    with pytest.raises(BudgetError, match="no plan for budget 3"):
        pipeline.forward(request(wishes={"meancache_budget": 3}))
    assert pipeline.forward(request()).latents.isfinite().all()


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"enable_teacache": True}, "enable_teacache"),
        ({"enable_cache_dit": True}, "enable_cache_dit"),
        ({"cfg_gate_step": 0.5}, "cfg_gate_step"),
        ({"progressive_mode": "dct"}, "progressive_mode"),
    ],
)
def test_other_caches_in_a_request_are_refused_by_name(
    worker: Worker, tmp_path: Path, parameters: dict[str, Any], name: str
) -> None:
    pipeline = worker(write(tmp_path))
    with pytest.raises(StackedCacheError, match=f"{name} answers some of this request's calls"):
        pipeline.forward(request(**parameters))
    assert pipeline.forward(request(wishes=PLAIN, **parameters)).latents.isfinite().all()


def test_a_rollouts_own_scheduler_is_refused(worker: Worker, tmp_path: Path) -> None:
    from sglang.multimodal_gen.runtime.euler import FlowMatchEulerDiscreteScheduler

    pipeline = worker(write(tmp_path))
    rollout = request(scheduler=FlowMatchEulerDiscreteScheduler())
    with pytest.raises(ReplayError, match="a rollout"):
        pipeline.forward(rollout)


def test_another_size_or_guidance_than_calibrated_is_logged_once(
    worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = worker(write(tmp_path, generation=world.GENERATION))
    pipeline.forward(request(height=64, width=64, **CFG))
    assert not caplog.records
    pipeline.forward(request(height=32, num_frames=5))
    assert "height 32, and the schedule was calibrated with 64" in caplog.text
    assert "true_cfg_scale 1, and the schedule was calibrated with 2.5" in caplog.text
    assert len(caplog.records) == 2


def test_a_wrong_offer_stops_the_worker_although_sglang_forgives_plug_ins(
    worker: Worker, tmp_path: Path
) -> None:
    with pytest.raises(ScheduleError, match=f"{SCHEDULE_SET}: .*cannot be read"):
        worker(tmp_path / "missing.json")
    with pytest.raises(BudgetError, match="no plan for budget 6"):
        worker(write(tmp_path), budget=6)


@pytest.mark.parametrize(
    ("modules", "error", "message"),
    [
        ({"scheduler": UniPCMultistepScheduler()}, UnsupportedSchedulerError, "UniPC"),
        ({"scheduler": None}, UnsupportedPipelineError, "shows no scheduler"),
        ({"role": "DENOISER"}, UnsupportedPipelineError, "role DENOISER alone"),
    ],
    ids=["sampler", "no sampler", "role"],
)
def test_a_server_that_could_not_follow_the_plan_does_not_start(
    worker: Worker,
    tmp_path: Path,
    modules: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        worker(write(tmp_path), **modules)


def test_another_cache_for_all_requests_is_refused_at_the_start(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sglang.multimodal_gen.envs.SGLANG_CACHE_DIT_ENABLED", True)
    with pytest.raises(StackedCacheError, match="SGLANG_CACHE_DIT_ENABLED"):
        worker(write(tmp_path))


def test_a_version_that_gives_schedulers_elsewhere_is_refused(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sglang.multimodal_gen.plugins import HookRegistry

    from meancache_runtime.hosts.servers.sglang import SCHEDULER

    register = HookRegistry.register
    monkeypatch.setattr(
        HookRegistry,
        "register",
        lambda target, *hook: target != SCHEDULER and register(target, *hook),
    )
    with pytest.raises(UnsupportedPipelineError, match="gives requests their schedulers elsewhere"):
        worker(write(tmp_path))
