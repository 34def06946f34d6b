"""The method's headline figures, at the settings of its published ones.

    python -m benchmarks.headline [--samples 1000] [--only 50] [--schedule FILE]

At 50 → 20, 40 → 16 and 100 → 35 steps (FLUX.1, Qwen-Image and HunyuanVideo in the literature):
calibrated, solved and refined on calibration prompts, or a schedule that was made so; then, on
prompts that none of this saw, the Fréchet distance of N full and N cached samples to N fresh
scenes, drawn as training drew them, with the prompts that these scenes have; the change of it;
speed-up, PSNR and FLIP on the held-out prompts. Distances are FIDs only where Inception's weights
are at hand; else features are the pipeline's own autoencoder's, and the two scales cannot be
compared.

Hours on one core: N·(T + 2B) denoiser steps a setting. Finished work is kept under the folder; an
interrupted run goes on from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.fresh_scenes import write_scenes
from benchmarks.standings import words
from meancache_plan import load_schedule, save_schedule
from meancache_plan.files.journal import beside, drop
from meancache_plan.improve.refine_with_pipeline import refine_with
from meancache_plan.judge.evaluate import evaluate
from meancache_plan.judge.findings import PLAN, Evaluation
from meancache_plan.judge.frechet.frechet_measurement import FrechetSettings
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.show.terminal.console import watching
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.load_pipeline import load, quieten
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override, parse_numbers, read_prompts

BESIDE = (PLAN, "fewer-steps")
"""Whose samples are compared with fresh scenes, beside the full ones."""


class Setting(NamedTuple):
    """T steps, B of them refreshed; the model that is published with it, and its change of FID."""

    steps: int
    budget: int
    published: str = ""
    change: float | None = None


SETTINGS = (
    Setting(50, 20, "FLUX.1", 0.02),
    Setting(40, 16, "Qwen-Image", 0.03),
    Setting(100, 35, "HunyuanVideo", 0.05),
)
TINY = (Setting(5, 3), Setting(4, 2))


class MeanColours:
    """Three features, the mean of each colour: for trying the code on a few samples."""

    name = "Fréchet distance, mean colours"

    def __call__(self, pictures: Any) -> Tensor:
        """Means [n, 3] of pictures [n, height, width, 3]."""
        return torch.from_numpy(np.mean(pictures, axis=(1, 2), dtype=np.float32))


def compiled(pipeline: Pipeline, budget: int, folder: Path, batch: int) -> Schedule:
    """Calibrated, solved and refined on calibration prompts; or what an earlier run made so."""
    recipe = pipeline.recipe
    with watching() as watch:
        profile: Profile = calibrate(
            pipeline,
            read_prompts(recipe.prompts),
            parse_numbers(recipe.seeds, "seeds"),
            folder / f"{recipe.steps}.profile.safetensors",
            how=Measuring(batch=batch),
            progress=watch("calibrating"),
        )
        file = folder / f"{recipe.steps}-{budget}.json"
        if file.exists():
            schedule = load_schedule(file)
            if schedule.calibrated and schedule.calibrated.profile == profile.fingerprint:
                return schedule
        schedule = solve(profile, [budget])
        schedule = refine_with(pipeline, profile, schedule, file, batch=batch, watch=watch)
    save_schedule(schedule, file)
    drop(beside(file))
    return schedule


def made_so(file: Path | None, setting: Setting) -> Schedule | None:
    """The schedule of a file, if it has the setting's steps and budget."""
    schedule = None if file is None else load_schedule(file)
    if schedule is None or schedule.grid.steps != setting.steps:
        return None
    return schedule if setting.budget in schedule.budgets else None


def judged(
    pipeline: Pipeline, schedule: Schedule, budget: int, frechet: FrechetSettings, folder: Path
) -> Evaluation:
    """Judged on held-out prompts, and by distances."""
    recipe = pipeline.recipe
    file = folder / f"{recipe.steps}-{budget}.evaluation.json"
    with watching() as watch:
        found = evaluate(
            pipeline,
            schedule,
            read_prompts(recipe.heldout_prompts),
            parse_numbers(recipe.heldout_seeds, "seeds"),
            budgets=[budget],
            frechet=replace(frechet, watch=watch),
            work=beside(file),
            progress=watch("evaluating"),
        )
    file.write_text(found.to_json(), encoding="utf-8")
    return found


def table(settings: Sequence[Setting], found: Sequence[Evaluation]) -> Table:
    """One row a setting and method."""
    first = found[0].frechet
    assert first is not None
    shown = Table("steps", "method", box=box.MARKDOWN)
    distance = f"{first.name} to {first.pictures:,} fresh scenes"
    for heading in (distance, "change (95 %)", "published", "speed-up", "PSNR, dB", "FLIP"):
        shown.add_column(heading, justify="right")
    for setting, each in zip(settings, found, strict=True):
        assert each.frechet is not None
        for row in each.frechet.rows:
            name = f"{setting.steps} → {setting.budget}"
            own = each.row(row.method, row.budget or setting.steps)
            is_plan = row.method == PLAN and setting.change is not None
            known = f"{setting.change:+.2f}, {setting.published}" if is_plan else "–"
            low, high = row.interval
            full = row is each.frechet.rows[0]
            shown.add_row(
                name,
                row.method,
                f"{row.distance:.4g}",
                "–" if full else f"{row.change:+.3g} ({low:+.3g} to {high:+.3g})",
                known,
                f"{own.speedup:.2f} ×",
                "–" if full else words(own.figure("psnr")),
                "–" if full else words(own.figure("flip"), digits=4),
            )
    return shown


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The method's headline figures.")
    parser.add_argument("--pipeline", default=catalog.REFERENCE, help="a folder, or reference")
    parser.add_argument("--recipe", help="a TOML file; by default the reference pipeline's")
    parser.add_argument("--samples", type=int, default=1000, help="N")
    parser.add_argument("--only", type=int, help="the setting of so many steps alone")
    parser.add_argument("--schedule", type=Path, help="judge this one where it has the setting")
    parser.add_argument("--batch", type=int, default=16, help="samples a pipeline call")
    parser.add_argument("--tiny", action="store_true", help="try the code: no figure means a thing")
    parser.add_argument("--folder", type=Path, default=Path("build/headline"))
    return parser.parse_args(arguments)


def run(setting: Setting, options: argparse.Namespace) -> Evaluation:
    """One setting, from calibration to distances."""
    folder: Path = options.folder
    recipe = override(find_recipe(catalog.REFERENCE, options.recipe), steps=setting.steps)
    pipeline = load(options.pipeline, recipe, device="cpu")
    schedule = made_so(options.schedule, setting)
    if schedule is None:
        schedule = compiled(pipeline, setting.budget, folder, options.batch)
    apart = [*read_prompts(recipe.prompts), *read_prompts(recipe.heldout_prompts)]
    scenes = folder / f"scenes-{options.samples}"
    frechet = FrechetSettings(
        options.samples,
        scenes,
        options.batch,
        prompts=write_scenes(scenes, options.samples, apart, blank=options.tiny),
        methods=BESIDE,
        features=MeanColours() if options.tiny else None,
    )
    return judged(pipeline, schedule, setting.budget, frechet, folder)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    settings = TINY if options.tiny else SETTINGS
    chosen = [each for each in settings if options.only in (None, each.steps)]
    if not chosen:
        raise SystemExit(
            f"--only {options.only}: choose {', '.join(str(s.steps) for s in settings)}"
        )
    quieten()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = [run(setting, options) for setting in chosen]
    Console(width=200).print(table(chosen, found))
    print(f"\nJSON: {options.folder}/*.evaluation.json")


if __name__ == "__main__":
    main()
