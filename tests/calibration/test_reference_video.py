"""The reference pipeline of videos: what it was trained on, what it promises, and a plan on it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanPipeline

from meancache_plan import load_profile, solve
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override, read_prompts
from meancache_runtime import attach

FOLDER = catalog.reference_pipeline(catalog.VIDEO_REFERENCE)
RECIPE = find_recipe(catalog.VIDEO_REFERENCE, None)
NAMES = ("clip_prompts", "clips", "motions", "scenes", "subjects")
STEPS, BUDGET = 10, 5


@pytest.fixture(scope="module")
def training() -> Iterator[dict[str, ModuleType]]:
    """The training folder's modules, and those of the image reference that they share."""
    known, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(FOLDER / "training"))
    try:
        yield {name: __import__(name) for name in NAMES}
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if "/training/" in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load(catalog.VIDEO_REFERENCE, override(RECIPE, steps=STEPS), device="cpu")


def test_the_recipes_prompts_are_those_that_training_writes(
    training: dict[str, ModuleType], tmp_path: Path
) -> None:
    training["clip_prompts"].write(tmp_path)
    for kind, name in (("calibration", RECIPE.prompts), ("heldout", RECIPE.heldout_prompts)):
        written = (tmp_path / f"reference-video-{kind}.txt").read_text(encoding="utf-8")
        assert written.splitlines() == list(read_prompts(name))


def test_every_held_out_prompt_names_something_held_out_and_no_other_does(
    training: dict[str, ModuleType],
) -> None:
    motions = training["motions"]

    def held_out(prompt: str) -> bool:
        wish, motion = motions.parse(prompt)
        assert motion is not None
        return motions.clip_is_held_out(wish.subjects, wish.ground, motion)

    assert all(map(held_out, read_prompts(RECIPE.heldout_prompts)))
    assert not any(map(held_out, read_prompts(RECIPE.prompts)))


def test_nothing_held_out_is_ever_drawn_for_training(training: dict[str, ModuleType]) -> None:
    drawn = training["clips"].draw(np.random.default_rng(0), 3000)
    names, colours = training["subjects"].NAMES, training["subjects"].COLOURS
    for pair, ground, motion in zip(
        drawn.scenes.subjects, drawn.scenes.ground, drawn.motion, strict=True
    ):
        subjects = [names[number] for number in pair if number != training["scenes"].NOBODY]
        said = training["motions"].MOTIONS[motion]
        assert not training["motions"].clip_is_held_out(subjects, colours[ground], said)


def test_about_a_tenth_of_motions_are_held_out(training: dict[str, ModuleType]) -> None:
    motions = training["motions"]
    held = [motions.motion_is_held_out(*pair) for pair in product(motions.CAST, motions.MOTIONS)]
    assert np.mean(held) == pytest.approx(0.1, abs=0.05)


def test_subjects_move_as_the_prompt_says(training: dict[str, ModuleType]) -> None:
    clips, motions = training["clips"], training["motions"].MOTIONS
    drawn = clips.draw(np.random.default_rng(0), 2000)
    ways = {
        "moving left": (0, -1), "moving right": (0, 1), "rising": (-1, 0), "falling": (1, 0),
    }  # fmt: skip
    for i, motion in enumerate(drawn.motion):
        moved = drawn.centres[i, 0, -1] - drawn.centres[i, 0, 0]
        assert tuple(np.sign(moved)) == ways.get(motions[motion], (0, 0))
        grown = drawn.sizes[i, 0, -1] - drawn.sizes[i, 0, 0]
        assert np.sign(grown) == {"growing": 1, "shrinking": -1}.get(motions[motion], 0)
        turned = drawn.angles[i, 0, -1] != drawn.angles[i, 0, 0]
        assert turned == (motions[motion] == "turning")


def test_it_loads_as_a_plain_wan_pipeline_in_one_precision() -> None:
    pipe: Any = WanPipeline.from_pretrained(FOLDER)
    parts = (pipe.transformer, pipe.vae, pipe.text_encoder)
    assert {p.dtype for part in parts for p in part.parameters()} == {torch.float32}


def test_its_folder_has_at_most_12_megabytes_of_safetensors_and_names_no_machines_place() -> None:
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 12e6
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".ckpt")]
    for file in FOLDER.rglob("*.json"):
        assert not re.search(r'": "(/|[A-Z]:\\)', file.read_text(encoding="utf-8")), file


def test_a_package_without_it_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_ROOT", Path("nowhere"))
    with pytest.raises(InputError, match=r"reference-video: .* clone the repository"):
        catalog.source_of(catalog.VIDEO_REFERENCE)


def side(frame: np.ndarray) -> float:
    """The column of what is not ground, 0 … 1: the mean, weighted by difference from the edge."""
    difference = np.abs(frame - np.median(frame, axis=(0, 1))).sum(-1)
    columns = (difference * (difference > 0.25)).sum(0)
    return float((columns * np.linspace(0, 1, len(columns))).sum() / columns.sum())


def test_the_prompt_says_the_ground_and_which_way_things_move(pipeline: Pipeline) -> None:
    shifts = {}
    for way in ("left", "right"):
        prompt = f"a fish moving {way} on a blue ground"
        videos = [pipeline.generate(prompt, seed).frames for seed in range(3)]
        assert all(video.shape == (9, 48, 48, 3) for video in videos)
        ground = np.median(np.concatenate(videos), axis=(0, 1, 2))
        assert ground[2] > ground[0] + 0.2, "blue"
        shifts[way] = np.mean([side(video[-1]) - side(video[0]) for video in videos])
    assert shifts["left"] < -0.1
    assert shifts["right"] > 0.1


def test_a_plan_from_a_calibration_runs_the_denoiser_as_often_as_it_says(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    prompts = read_prompts(RECIPE.prompts)[:4]
    calibrate(pipeline, prompts, [0], tmp_path / "profile", Measuring(batch=4))
    schedule = solve(load_profile(tmp_path / "profile"), budgets=[BUDGET, STEPS]).replayable()
    plain = pipeline.generate(read_prompts(RECIPE.heldout_prompts)[0], 1000)
    for budget in (BUDGET, STEPS):
        with attach(pipeline.pipe, schedule, budget=budget) as attachment:
            sample = pipeline.generate(read_prompts(RECIPE.heldout_prompts)[0], 1000)
        assert attachment.stats.refreshes == budget
        assert attachment.stats.denoiser_calls == 2 * budget
        assert torch.equal(sample.latents, plain.latents) == (budget == STEPS)
