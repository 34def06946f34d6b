"""Calibration captures what the pipeline does, loses nothing, and divides without a seam."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline

from meancache_plan import load_profile
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import save_profile
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.measure.shards import Shard
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.recipe import Recipe
from tests.commands import run
from tests.measure.sources import PROMPTS, SEEDS, interrupt, source
from tests.tiny import SIDE, TEXT_LENGTH

FINER = Measuring(finer_steps=12)


def test_edges_are_at_most_as_long_as_the_grid(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    for asked, measured in ((99, 6), (2, 2)):
        path, how = tmp_path / f"{asked}", Measuring(max_edge=asked)
        assert calibrate(source(tiny_flux), PROMPTS, [0], path, how).index.max_edge == measured


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


def test_a_killed_command_goes_on_where_it_stopped(
    tiny_flux: FluxPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_flux.save_pretrained(tmp_path / "model")
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    (tmp_path / "tiny.toml").write_text(
        f'steps = 6\nheight = {SIDE}\nwidth = {SIDE}\ndtype = "float32"\n'
        f'prompts = "{tmp_path}/prompts.txt"\ncall = {{ max_sequence_length = {TEXT_LENGTH} }}\n'
    )
    options = ["calibrate", str(tmp_path / "model"), "--recipe", "tiny.toml", "--seeds", "0-5"]
    command = [sys.executable, "-m", "meancache_plan", *options, "-o", "a.profile"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    partial = tmp_path / "a.profile.unfinished"
    while len(list(partial.glob("sample-*"))) < 2 and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = len(list(partial.glob("sample-*")))
    assert 2 <= kept < 18, "the command was not killed in mid-run"
    run(*options, "-o", "a.profile")
    resumed = load_profile(tmp_path / "a.profile")
    recipe = Recipe(steps=6, height=SIDE, width=SIDE, dtype="float32", call=call_length())
    whole = calibrate(
        load(str(tmp_path / "model"), recipe), PROMPTS, range(6), tmp_path / "b.profile"
    )
    assert resumed.fingerprint == whole.fingerprint


def call_length() -> dict[str, int]:
    return {"max_sequence_length": TEXT_LENGTH}


def test_a_partial_run_with_other_settings_is_refused_by_the_settings_name(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    interrupt(tiny_flux, tmp_path / "p", after=1)
    with pytest.raises(InputError, match=r"differs in its prompts; .* or delete p\.unfinished$"):
        calibrate(source(tiny_flux), ("a cow",), SEEDS, tmp_path / "p")
    with pytest.raises(InputError, match=r"differs in its seeds; .* or delete p\.unfinished$"):
        calibrate(source(tiny_flux), PROMPTS, (7,), tmp_path / "p")
    with pytest.raises(InputError, match=r"its num_inference_steps \(6 there, 5 here\)"):
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


def test_a_finished_profile_of_other_steps_or_another_aim_is_refused(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    plain, finer = tmp_path / "plain", tmp_path / "finer"
    made = calibrate(source(tiny_flux), PROMPTS[:1], SEEDS[:1], plain)
    assert made.settings.num_inference_steps == made.steps == 6
    calibrate(source(tiny_flux), PROMPTS[:1], SEEDS[:1], finer, FINER)
    again = source(tiny_flux, steps=5)
    with pytest.raises(InputError, match=r"its num_inference_steps \(6 there, 5 here\)"):
        calibrate(again, PROMPTS[:1], SEEDS[:1], plain)
    with pytest.raises(InputError, match=r"its finer_steps \(None there, 12 here\)"):
        calibrate(source(tiny_flux), PROMPTS[:1], SEEDS[:1], plain, FINER)
    with pytest.raises(InputError, match=r"its finer_steps \(12 there, None here\)"):
        calibrate(source(tiny_flux), PROMPTS[:1], SEEDS[:1], finer)
    assert again.recorded == 0


def test_a_profile_that_does_not_say_how_many_steps_were_asked_for_is_taken(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    made = calibrate(source(tiny_flux), PROMPTS[:1], SEEDS[:1], tmp_path / "p")
    unknown = made.settings.model_copy(update={"num_inference_steps": None})
    former = replace(made, settings=unknown)
    assert former.fingerprint == made.fingerprint
    save_profile(former, tmp_path / "p")
    again = source(tiny_flux)
    calibrate(again, PROMPTS[:1], SEEDS[:1], tmp_path / "p")
    assert again.recorded == 0


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
