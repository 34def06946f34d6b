"""Calibration captures what the pipeline does, loses nothing, and divides without a seam."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from meancache_plan import load_profile, merge_profiles, profile_flow, save_profile, solve
from meancache_plan.core.deviation import windows
from meancache_plan.core.trajectory import Tape, Trajectory, record_flow
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import measure
from meancache_plan.measure.shards import Shard
from meancache_plan.source.diffusers.loading import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime import integrate
from meancache_runtime.errors import UnsupportedSchedulerError
from tests.tiny import SIDE, TEXT_LENGTH, call_options

PROMPTS = ("a cat", "a dog", "an owl")
SEEDS = (0, 1)


class Source(Pipeline):
    """A pipeline whose measured seconds are fixed, so that whole files can be compared."""

    recorded = 0
    stop_after: int | None = None

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        if self.recorded == self.stop_after:
            raise KeyboardInterrupt
        self.recorded += 1
        return super().record(prompt, seed, finer_steps=finer_steps)[0], 0.25


def source(pipe: FluxPipeline, **options: Any) -> Source:
    recipe: dict[str, Any] = {
        "steps": 6,
        "height": SIDE,
        "width": SIDE,
        "dtype": "float32",
        "guidance": 1.0,
    }
    recipe |= {"call": {"max_sequence_length": TEXT_LENGTH}}
    return Source(pipe, Recipe.model_validate({"model": "tiny", **recipe, **options}), "tiny")


def interrupt(pipe: FluxPipeline, path: Path, *, after: int) -> None:
    """Calibrate into ``path`` until ``after`` samples are done."""
    first = source(pipe)
    first.stop_after = after
    with pytest.raises(KeyboardInterrupt):
        calibrate(first, PROMPTS, SEEDS, path)


def test_edges_are_at_most_as_long_as_the_grid(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    assert (
        calibrate(source(tiny_flux), PROMPTS, [0], tmp_path / "a", max_edge=99).index.max_edge == 6
    )
    assert (
        calibrate(source(tiny_flux), PROMPTS, [0], tmp_path / "b", max_edge=2).index.max_edge == 2
    )


def test_recorded_latents_and_velocities_are_those_of_the_plain_run(
    tiny_flux: FluxPipeline,
) -> None:
    seen: list[torch.Tensor] = []

    def keep(_pipe: Any, _i: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].clone())
        return tensors

    final = tiny_flux("a cat", callback_on_step_end=keep, **call_options()).images
    trajectory, _ = source(tiny_flux).record("a cat", 0)
    assert torch.equal(trajectory.latents[1:], torch.stack(seen))
    assert torch.equal(trajectory.latents[-1], final)
    sigmas = torch.tensor(trajectory.sigmas)
    steps = (trajectory.latents[1:] - trajectory.latents[:-1]) / (sigmas[1:] - sigmas[:-1]).view(
        -1, 1, 1, 1
    )
    torch.testing.assert_close(trajectory.velocities, steps, rtol=1e-3, atol=1e-4)


def test_the_guided_velocity_is_recorded_under_true_cfg(tiny_flux: FluxPipeline) -> None:
    options = {"guidance_argument": "true_cfg_scale", "negative_prompt": "a dog", "guidance": 3.0}
    trajectory, _ = source(tiny_flux, **options).record("a cat", 0)
    trajectory.check_euler()
    plain, _ = source(tiny_flux).record("a cat", 0)
    assert not torch.allclose(trajectory.velocities, plain.velocities)


def test_recording_leaves_the_pipeline_as_it_was(tiny_flux: FluxPipeline) -> None:
    before = (type(tiny_flux), tiny_flux.scheduler, tiny_flux.transformer)
    source(tiny_flux).record("a cat", 0)
    assert (type(tiny_flux), tiny_flux.scheduler, tiny_flux.transformer) == before


@pytest.mark.parametrize("done", [0, 1, 3, 5])
def test_an_interrupted_calibration_ends_with_the_same_bytes(
    tiny_flux: FluxPipeline, tmp_path: Path, done: int
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    calibrate(source(tiny_flux), PROMPTS, SEEDS, whole)
    interrupt(tiny_flux, resumed, after=done)
    assert not resumed.exists()
    second = source(tiny_flux)
    calibrate(second, PROMPTS, SEEDS, resumed)
    assert second.recorded == 6 - done
    assert resumed.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "resumed.unfinished").exists()


def test_a_killed_command_goes_on_where_it_stopped(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    tiny_flux.save_pretrained(tmp_path / "model")
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    (tmp_path / "tiny.toml").write_text(
        f'steps = 6\nheight = {SIDE}\nwidth = {SIDE}\ndtype = "float32"\n'
        f'prompts = "{tmp_path}/prompts.txt"\ncall = {{ max_sequence_length = {TEXT_LENGTH} }}\n'
    )
    command = [sys.executable, "-m", "meancache_plan", "calibrate", str(tmp_path / "model")]
    command += ["--recipe", str(tmp_path / "tiny.toml"), "--seeds", "0-39", "-o", "a.profile"]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    partial = tmp_path / "a.profile.unfinished"
    while len(list(partial.glob("sample-*"))) < 2 and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = len(list(partial.glob("sample-*")))
    assert 2 <= kept < 120, "the command was not killed in mid-run"
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    resumed = load_profile(tmp_path / "a.profile")
    recipe = Recipe(steps=6, height=SIDE, width=SIDE, dtype="float32", call=call_length())
    whole = calibrate(
        load(str(tmp_path / "model"), recipe), PROMPTS, range(40), tmp_path / "b.profile"
    )
    assert resumed.fingerprint == whole.fingerprint


def call_length() -> dict[str, int]:
    return {"max_sequence_length": TEXT_LENGTH}


def test_shards_merge_into_the_whole(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    whole = calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "whole")
    parts = [
        calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / f"part{i}", shard=Shard(i, 4))
        for i in (1, 2, 3, 4)
    ]
    save_profile(merge_profiles(parts[::-1]), tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()
    assert whole.samples == 6


def test_a_partial_run_with_other_settings_is_refused_by_the_settings_name(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    interrupt(tiny_flux, tmp_path / "p", after=1)
    with pytest.raises(InputError, match=r"differs in its prompts; .* or delete p\.unfinished$"):
        calibrate(source(tiny_flux), ("a cow",), SEEDS, tmp_path / "p")
    with pytest.raises(InputError, match=r"differs in its seeds; .* or delete p\.unfinished$"):
        calibrate(source(tiny_flux), PROMPTS, (7,), tmp_path / "p")
    with pytest.raises(InputError, match=r"differs in its sigmas\[1\] \("):
        calibrate(source(tiny_flux, steps=5), PROMPTS, SEEDS, tmp_path / "p")


def test_a_finished_profile_is_kept_and_never_overwritten_by_another(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p")
    again = source(tiny_flux)
    calibrate(again, PROMPTS, SEEDS, tmp_path / "p")
    assert again.recorded == 0
    with pytest.raises(InputError, match="other samples"):
        calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p", shard=Shard(1, 2))
    with pytest.raises(
        InputError,
        match=r"its guidance\.guidance_scale \(1.0 .* or delete p$",
    ):
        calibrate(source(tiny_flux, guidance=2.0), PROMPTS, SEEDS, tmp_path / "p")


def test_samples_whose_settings_are_lost_are_taken_for_no_others(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    interrupt(tiny_flux, tmp_path / "p", after=2)
    (tmp_path / "p.unfinished" / "settings.json").unlink()
    again = source(tiny_flux)
    calibrate(again, ("a cow", *PROMPTS[1:]), SEEDS, tmp_path / "p")
    assert again.recorded == 6


def test_a_run_killed_after_its_profile_was_written_leaves_no_samples_behind(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    interrupt(tiny_flux, tmp_path / "p", after=2)
    calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "whole")
    (tmp_path / "whole").rename(tmp_path / "p")
    calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p")
    assert not (tmp_path / "p.unfinished").exists()


def test_a_profile_that_appeared_meanwhile_is_not_overwritten(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    def appear(done: int, total: int) -> None:
        if done == total:
            (tmp_path / "p").write_bytes(b"somebody else's")

    with pytest.raises(InputError, match="somebody else"):
        calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p", progress=appear)
    assert (tmp_path / "p").read_bytes() == b"somebody else's"


def test_another_training_of_the_same_model_is_another_model(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    recipe = Recipe(steps=4, height=SIDE, width=SIDE, dtype="float32", call=call_length())
    tiny_flux.save_pretrained(tmp_path / "model")
    before = load(str(tmp_path / "model"), recipe)
    calibrate(before, PROMPTS, SEEDS, tmp_path / "p")
    with torch.no_grad():
        tiny_flux.transformer.proj_out.bias += 1
    tiny_flux.save_pretrained(tmp_path / "model")
    after = load(str(tmp_path / "model"), recipe)
    assert before.identity().fingerprint == after.identity().fingerprint
    with pytest.raises(InputError, match=r"differs in its model\.revision"):
        calibrate(after, PROMPTS, SEEDS, tmp_path / "p")


def test_a_refused_run_leaves_nothing_behind(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="refuses the recipe's arguments"):
        calibrate(source(tiny_flux, height=SIDE + 1, call={"x": 1}), PROMPTS, SEEDS, tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_that_adds_noise_in_each_step_is_refused(tiny_flux: FluxPipeline) -> None:
    tiny_flux.scheduler = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    with pytest.raises(UnsupportedSchedulerError, match="noise"):
        source(tiny_flux).record("a cat", 0)


def test_a_step_that_is_not_euler_is_refused() -> None:
    trajectory = record_flow(lambda z, s: z, torch.ones(4), [1.0, 0.5, 0.0])
    trajectory.latents[1] += 0.1
    with pytest.raises(InputError, match="step 0"):
        trajectory.check_euler()


def test_an_unfinished_run_is_no_trajectory() -> None:
    tape = Tape([1.0, 0.5, 0.0], torch.ones(4))
    tape.append(torch.ones(4), torch.ones(4))
    with pytest.raises(InputError, match="1 of 2 steps"):
        tape.trajectory()


def test_every_shard_has_a_file_name_of_its_own() -> None:
    assert Shard(1, 1).suffixed("a.b.safetensors") == "a.b.safetensors"
    assert Shard(2, 8).suffixed("a.b.safetensors") == "a.b.2-of-8.safetensors"


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/", "-1/2"])
def test_a_bad_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="shard"):
        Shard.parse(text)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all live tensor storages that are made inside it, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)

        def gone() -> None:
            self._known.discard(key)
            self.live -= size

        weakref.finalize(storage, gone)


def test_capture_and_measurement_fit_in_two_latents_a_step() -> None:
    steps, numel = 10, 1 << 20
    grid = [1 - i / steps for i in range(steps + 1)]
    with LiveBytes() as memory:
        noise = torch.zeros(numel)
        tape = Tape(grid, noise)
        for _ in range(steps):
            tape.append(noise, noise)
        trajectory = tape.trajectory()
        del tape
        gc.collect()
        measure(trajectory.velocities, trajectory.sigmas, windows(steps, steps, 6))
    own = noise.nbytes
    assert memory.peak - own <= 2 * (steps + 1) * noise.nbytes


def test_profile_flow_feeds_solve_and_integrate() -> None:
    """A linear velocity is predicted exactly by adams: the replay hits the full Euler run."""
    grid = [1 - i / 12 for i in range(13)]

    def velocity(z: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.full_like(z, 2.0 + 3.0 * sigma)

    noise = torch.randn(3, 5, dtype=torch.float64)
    profile = profile_flow(velocity, noise, grid)
    schedule = solve(profile, budgets=[3], predictors=("hold", "adams"), metric="rms")
    calls: list[float] = []

    def counted(z: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return velocity(z, sigma)

    got = integrate(counted, noise, schedule, budget=3)
    full = record_flow(velocity, noise, grid).latents[-1]
    assert len(calls) == len(schedule.plans[0].knots) <= 3
    np.testing.assert_allclose(got.numpy(), full.numpy(), atol=1e-12)


def test_profile_flow_refuses_no_samples() -> None:
    with pytest.raises(InputError, match="no sample"):
        profile_flow(lambda z, s: z, torch.zeros(0, 4), [1.0, 0.0])
