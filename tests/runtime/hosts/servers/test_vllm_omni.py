"""vLLM-Omni's requests follow plans: its worker, faked, with our plug-in in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from meancache_runtime.errors import (
    BudgetError,
    ModelMismatchError,
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
    """Start a worker: its process loads plug-ins, then its model."""

    def start(*schedules: Path, budget: int | None = None, **config: Any) -> Any:
        offer(schedules, budget)
        from vllm_omni.diffusion.pipeline import Pipeline
        from vllm_omni.diffusion.worker.diffusion_model_runner import DiffusionModelRunner
        from vllm_omni.plugins import load_omni_general_plugins

        load_omni_general_plugins()
        scheduler = config.pop("scheduler", world.euler()) or None
        usual = {"model": "/models/tiny", "cache_backend": "none"}
        runner = DiffusionModelRunner(
            SimpleNamespace(build=lambda: Pipeline(Denoiser(), scheduler), **usual | config)
        )
        runner.load_model()
        return runner

    return start


def request(seed: int = 0, name: str = "a", **sampling: Any) -> Any:
    from vllm_omni.diffusion.request import OmniDiffusionRequest, OmniDiffusionSamplingParams

    parameters = {"num_inference_steps": STEPS, "latents": world.noise(seed)} | sampling
    return OmniDiffusionRequest("a cat", OmniDiffusionSamplingParams(**parameters), name)


def wish(**wishes: Any) -> dict[str, Any]:
    return {"extra_args": {f"meancache_{name}": value for name, value in wishes.items()}}


def calls(runner: Any) -> int:
    return runner.pipeline.transformer.calls


def test_without_a_word_in_the_environment_nothing_changes(worker: Worker) -> None:
    runner = worker()
    assert "forward" not in vars(runner.pipeline)
    torch.testing.assert_close(runner.execute_model(request()), world.plain(world.noise()), **CLOSE)
    assert calls(runner) == STEPS


@pytest.mark.parametrize("scale", [None, 2.5], ids=["plain", "cfg"])
def test_a_request_takes_the_plans_steps_and_a_second_one_the_same(
    worker: Worker, tmp_path: Path, scale: float | None
) -> None:
    runner = worker(write(tmp_path))
    first = runner.execute_model(request(true_cfg_scale=scale))
    torch.testing.assert_close(first, world.expected(world.noise(), scale=scale or 1.0), **CLOSE)
    assert calls(runner) == BUDGET * (2 if scale else 1)
    runner.execute_model(request(seed=1))
    assert torch.equal(runner.execute_model(request(true_cfg_scale=scale)), first)


def test_a_plan_of_every_step_changes_no_bit(worker: Worker, tmp_path: Path) -> None:
    runner = worker(write(tmp_path, "every", EVERY))
    plain = runner.execute_model(request(**wish(budget=0)))
    assert torch.equal(runner.execute_model(request()), plain)


def test_a_request_chooses_its_schedule_or_none(worker: Worker, tmp_path: Path) -> None:
    runner = worker(write(tmp_path), write(tmp_path, "every", EVERY), budget=BUDGET)
    own = runner.pipeline.scheduler
    runner.execute_model(request(**wish(schedule="every")))
    assert calls(runner) == STEPS
    found = runner.execute_model(request(num_inference_steps=7, **wish(budget=0)))
    torch.testing.assert_close(found, world.plain(world.noise(), 7), **CLOSE)
    assert runner.pipeline.scheduler is own


def test_the_warm_up_takes_its_one_step_and_says_so(
    worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = worker(write(tmp_path))
    with caplog.at_level(logging.INFO, "vllm.meancache"):
        for name in ("dummy_req_id", "dummy_req_id/1"):
            runner.execute_model(request(name=name, num_inference_steps=2))
    assert calls(runner) == 4
    assert caplog.text.count("warm-up request") == 2


def test_requests_of_one_batch_each_follow_their_own_plan(worker: Worker, tmp_path: Path) -> None:
    runner = worker(write(tmp_path))
    same = runner.execute_model_batch([request(0), request(1)])
    assert calls(runner) == BUDGET
    other = [request(0), request(1, **wish(budget=0)), request(2)]
    mixed = runner.execute_model_batch(other)
    assert calls(runner) == 2 * BUDGET + STEPS
    for seed, found in [(0, same[0]), (1, same[1]), (0, mixed[0]), (2, mixed[2])]:
        torch.testing.assert_close(found, world.expected(world.noise(seed)), **CLOSE)
    torch.testing.assert_close(mixed[1], world.plain(world.noise(1)), **CLOSE)


def test_requests_that_are_taken_step_by_step_together_do_not_mix(
    worker: Worker, tmp_path: Path
) -> None:
    runner = worker(write(tmp_path))
    arrivals = {0: [request(0, "a")], 2: [request(1, "b")], 3: [request(2, "c", **wish(budget=0))]}
    done: dict[str, tuple[int, torch.Tensor]] = {}
    for tick in range(3 + STEPS):
        finished = runner.execute_stepwise(arrivals.get(tick, []))
        done |= {name: (tick, latents) for name, latents in finished.items()}
    assert {name: tick for name, (tick, _) in done.items()} == {
        "a": BUDGET - 1,
        "b": 2 + BUDGET - 1,
        "c": 3 + STEPS - 1,
    }
    for name, seed in (("a", 0), ("b", 1)):
        torch.testing.assert_close(done[name][1], world.expected(world.noise(seed)), **CLOSE)
    torch.testing.assert_close(done["c"][1], world.plain(world.noise(2)), **CLOSE)


def test_a_request_of_other_steps_is_refused_and_told_how_to_do_without(
    worker: Worker, tmp_path: Path
) -> None:
    runner = worker(write(tmp_path))
    own = runner.pipeline.scheduler
    message = f"few, budget {BUDGET}: .*made for {STEPS}.* or say meancache_budget 0"
    with pytest.raises(StepCountError, match=message):
        runner.execute_model(request(num_inference_steps=STEPS + 1))
    assert runner.pipeline.scheduler is own
    with pytest.raises(BudgetError, match="no plan for budget 3"):
        runner.execute_model(request(**wish(budget=3)))
    assert runner.execute_model(request()).isfinite().all()


def test_another_size_or_guidance_than_calibrated_is_logged(
    worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = worker(write(tmp_path, generation=world.GENERATION))
    runner.execute_model(request(height=64, width=64, true_cfg_scale=2.5))
    assert not caplog.records
    runner.execute_model(request(height=32, true_cfg_scale=4.0))
    assert "height 32, and the schedule was calibrated with 64" in caplog.text
    assert "true_cfg_scale 4, and the schedule was calibrated with 2.5" in caplog.text
    assert len(caplog.records) == 2


def test_a_wrong_offer_stops_the_process_that_loads_plug_ins(
    worker: Worker, tmp_path: Path
) -> None:
    with pytest.raises(ScheduleError, match=f"{SCHEDULE_SET}: .*cannot be read"):
        worker(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("config", "changes", "error", "message"),
    [
        ({"cache_backend": "cache_dit"}, {}, StackedCacheError, "--cache-backend cache_dit"),
        ({"scheduler": UniPCMultistepScheduler()}, {}, UnsupportedSchedulerError, "UniPC"),
        ({"scheduler": False}, {}, UnsupportedPipelineError, "shows no scheduler"),
        (
            {"model": "Qwen/Qwen-Image"},
            {
                "model": {
                    "id": "Tongyi-MAI/Z-Image",
                    "revision": None,
                    "fingerprint": None,
                    "pipeline": None,
                    "scheduler": None,
                    "adapters": [],
                }
            },
            ModelMismatchError,
            "compiled for Tongyi-MAI/Z-Image, but this server's model is Qwen/Qwen-Image",
        ),
    ],
    ids=["cache", "sampler", "no sampler", "model"],
)
def test_a_server_that_could_not_follow_the_plan_does_not_start(
    worker: Worker,
    tmp_path: Path,
    config: dict[str, Any],
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        worker(write(tmp_path, **changes), **config)


def test_a_schedule_of_another_sampler_is_refused_at_the_start(
    worker: Worker, tmp_path: Path
) -> None:
    from tests.runtime import by_hand

    heun = by_hand.schedule(STEPS, (0, 3), replaces="FlowMatchHeunDiscreteScheduler")
    with pytest.raises(UnsupportedSchedulerError, match="few takes the steps of FlowMatchHeun"):
        worker(write(tmp_path, schedule=heun))


def test_plug_ins_that_are_loaded_twice_and_models_that_come_later_are_no_matter(
    worker: Worker, tmp_path: Path
) -> None:
    runner = worker(write(tmp_path))
    from meancache_runtime.hosts.servers.vllm_omni import register

    register()
    runner.pipeline = None
    runner.load_model("dummy")
    assert runner.pipeline is None
    runner.load_model()
    runner.execute_model(request())
    assert calls(runner) == BUDGET
