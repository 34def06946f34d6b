"""What ``calibrate --dry-run`` says is what a calibration then does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline

from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.estimate import Estimate, estimate
from meancache_plan.measure.profile_settings import MEASURING, Measuring
from meancache_plan.measure.shards import Shard
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe, find_recipe, parse_numbers, read_prompts
from tests.commands import refuse, run
from tests.counting import count_calls
from tests.tiny import SIDE, TEXT_LENGTH

STEPS = 12


def recipe(folder: Path, **fields: Any) -> Recipe:
    """Of the tiny pipeline, with three prompts and two seeds."""
    (folder / "prompts.txt").write_text("a cat\na dog\nan owl\n")
    known: dict[str, Any] = {
        "steps": STEPS,
        "height": SIDE,
        "width": SIDE,
        "dtype": "float32",
        "call": {"max_sequence_length": TEXT_LENGTH},
        "prompts": str(folder / "prompts.txt"),
        "seeds": "0-1",
        "latent_shape": (1, 16, 16),
    }
    return Recipe.model_validate(known | fields)


def calls_of_a_calibration(
    pipe: FluxPipeline, made: Recipe, path: Path, shard: Shard, how: Measuring = MEASURING
) -> int:
    """How often the denoiser runs when the recipe is calibrated."""
    ran = count_calls(pipe.transformer)
    prompts, seeds = read_prompts(made.prompts), parse_numbers(made.seeds, "seeds")
    source = Pipeline(pipe, made, "tiny")
    found = calibrate(source, prompts, seeds, path, how, shard=shard)
    assert found.settings.latent_shape == made.latent_shape
    return len(ran)


GUIDED = {"guidance_argument": "true_cfg_scale", "negative_prompt": "a cow", "branches": 2}


@pytest.mark.parametrize("fields", [{}, {**GUIDED, "guidance": 3.0}, {**GUIDED, "guidance": 1.0}])
@pytest.mark.parametrize("shard", [Shard(), Shard(1, 2), Shard(2, 2)])
def test_calls_and_bytes_are_those_of_a_real_calibration(
    tiny_flux: FluxPipeline, tmp_path: Path, fields: dict[str, Any], shard: Shard
) -> None:
    made = recipe(tmp_path, **fields)
    said = estimate(made, shard=shard)
    path = tmp_path / "profile"
    assert calls_of_a_calibration(tiny_flux, made, path, shard) == said.calls
    assert 0 < path.stat().st_size - said.profile_bytes < 4096, "the settings, as JSON"


def test_a_finer_run_is_counted_with_its_steps(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    made, how = recipe(tmp_path), Measuring(finer_steps=20)
    said, path = estimate(made, how), tmp_path / "profile"
    ran = calls_of_a_calibration(tiny_flux, made, path, Shard(), how)
    assert said.full == 6 * 20
    assert ran == said.calls + 1, "one call shows the grid and the form of its answers"
    assert 0 < path.stat().st_size - said.profile_bytes < 4096


@pytest.mark.parametrize("how", [Measuring(propagation=False), Measuring(max_edge=3)])
def test_less_work_is_foretold_as_such(
    tiny_flux: FluxPipeline, tmp_path: Path, how: Measuring
) -> None:
    made = recipe(tmp_path)
    said, path = estimate(made, how), tmp_path / "profile"
    assert calls_of_a_calibration(tiny_flux, made, path, Shard(), how) == said.calls
    assert 0 < path.stat().st_size - said.profile_bytes < 4096
    whole = estimate(made)
    assert said.refreshes + said.profile_bytes < whole.refreshes + whole.profile_bytes


def test_a_trajectory_takes_what_recording_one_keeps(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    made = recipe(tmp_path)
    trajectory, _ = Pipeline(tiny_flux, made, "tiny").record("a cat", 0)
    kept = (trajectory.latents, trajectory.velocities)
    assert {tensor.dtype for tensor in kept} == {torch.float32}
    assert estimate(made).trajectory_bytes == sum(tensor.nbytes for tensor in kept)
    assert estimate(recipe(tmp_path, latent_shape=None)).trajectory_bytes is None


def test_shards_add_up_to_the_whole() -> None:
    made = find_recipe("reference", None)
    parts = [estimate(made, shard=Shard(i, 7)) for i in range(1, 8)]
    whole = estimate(made)
    sums = ("samples", "full", "propagation", "refreshes", "calls")
    assert {name: sum(getattr(part, name) for part in parts) for name in sums} == {
        name: getattr(whole, name) for name in sums
    }


def test_the_reference_costs_what_one_reckons_by_hand() -> None:
    said: Estimate = estimate(find_recipe("reference", None))
    assert (said.prompts, said.seeds, said.full) == (96, 1, 96 * 50)
    assert said.propagation % (1 + 2 + 4 + 7 + 11 + 18 + 30 + 45) == 0, "T − s of the positions"
    assert said.full / 5 < said.propagation <= said.full / 4
    assert said.calls == 2 * (said.full + said.propagation)
    assert said.trajectory_bytes == 101 * 16 * 64 * 4
    assert said.hours(0.9) == pytest.approx(said.refreshes / 4000)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="--seconds-per-step"):
        estimate(find_recipe("reference", None)).hours(seconds)


def test_a_dry_run_prints_it_and_loads_and_writes_nothing(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--dry-run", "--shard", "2/8", "--seconds-per-step", "0.5")
    run("calibrate", "black-forest-labs/FLUX.1-dev", *options)
    text = " ".join(capsys.readouterr().out.split())
    made = find_recipe("black-forest-labs/FLUX.1-dev", None)
    whole, part = estimate(made), estimate(made, shard=Shard(2, 8))
    assert "pipeline FluxPipeline" in text
    assert "50 × 5 (prompts × seeds) = 250" in text
    assert "full runs 250 × 50 steps = 12,500 refreshes" in text
    assert f"{whole.refreshes:,} refreshes, {whole.calls:,} denoiser calls" in text
    assert "101 latents of 1 × 4096 × 64: at most 101.0 MiB" in text
    assert f"time {whole.hours(0.5):.3g} hours at 0.5 s per refresh" in text
    assert f"shard 2/8 {part.samples} samples, {part.refreshes:,} refreshes" in text
    assert part.hours(0.5) < 1
    assert f"its time {part.refreshes * 0.5 / 60:.3g} minutes at 0.5 s per refresh" in text
    assert list(cwd.iterdir()) == []


def test_what_is_unknown_without_the_model_is_said_so(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", "someone/something", "--dry-run")
    text = " ".join(capsys.readouterr().out.split())
    assert "pipeline unknown without the model" in text
    assert "101 latents; their shape is unknown without the model" in text
    assert "at least 15,568 denoiser calls" in text
    assert "hours" not in text
    assert "no recipe is known for someone/something: the defaults are assumed" in text
    run("calibrate", "black-forest-labs/FLUX.1-dev", "--dry-run")
    assert "no recipe is known" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--seconds-per-step", "1"), "--seconds-per-step has no effect without --dry-run"),
        (("--dry-run", "--seconds-per-step", "0"), "--seconds-per-step 0: give seconds"),
        (("--dry-run", "--shard", "97/97"), "holds none of the 96 samples"),
        (("--dry-run", "--max-edge", "0"), "max_edge 0"),
        (("--dry-run", "--finer-steps", "49"), "run's 50: choose 51 to 1000"),
        (("--dry-run", "--recipe", "no-such"), "no-such: no such recipe"),
        (("--dry-run", "--prompts", "absent.txt"), "absent.txt"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(
    cwd: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    assert reason in refuse(capsys, "calibrate", *arguments)


def test_a_named_recipe_brings_its_model(cwd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("calibrate", "--recipe", "flux.1-dev", "--dry-run")
    assert "black-forest-labs/FLUX.1-dev" in capsys.readouterr().out


def test_a_run_that_is_not_finer_is_refused_before_anything_is_loaded(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refuse(capsys, "calibrate", "no/such-model", "--finer-steps", "50")
    assert "finer_steps 50: a finer run has more steps than the run's 50" in said


def test_so_many_trajectories_lie_in_memory_as_are_made_at_a_time(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    one, four = estimate(made).trajectory_bytes, estimate(made, Measuring(batch=4)).trajectory_bytes
    assert one is not None
    assert four == 4 * one
    assert estimate(made, Measuring(batch=100)).trajectory_bytes == 6 * one, "there are six samples"
    with pytest.raises(InputError, match="batch 0: give 1 or more"):
        estimate(made, Measuring(batch=0))
