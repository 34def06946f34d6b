"""Predictors for plans that take another sampler's place, on the embedded pipeline.

    python -m benchmarks.samplers [--sampler unipc|dpm|heun]

The pipeline samples with UniPC, DPM-Solver++ or Heun in its flow mode; plans of ``adams`` and of
``fitted`` from one calibration are judged on held-out prompts by the PSNR of their final
latents against that sampler's own 50 steps. Finished work is kept under ``build/samplers/``; an
interrupted run goes on from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_heun_discrete import (
    FlowMatchHeunDiscreteScheduler,
)
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.finer import standing
from meancache_plan import calibrate, solve
from meancache_plan.files.journal import Journal
from meancache_plan.improve.ensemble import evenly
from meancache_plan.show.terminal.console import resumable, watching
from meancache_plan.source.diffusers.ensemble import PipelineEnsemble
from meancache_plan.source.diffusers.loading import load, quieten
from meancache_plan.source.recipe import find_recipe, parse_numbers, read_prompts

SHIFT = 3.0
"""That of the pipeline's own sampler."""

FLOW: dict[str, Any] = {
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": SHIFT,
}

SAMPLERS: dict[str, Callable[[], Any]] = {
    "unipc": lambda: UniPCMultistepScheduler(**FLOW),
    "dpm": lambda: DPMSolverMultistepScheduler(**FLOW),
    "heun": lambda: FlowMatchHeunDiscreteScheduler(shift=SHIFT),
}


def compete(options: argparse.Namespace) -> Table:
    """A line a predictor, a column a budget."""
    folder, recipe = options.folder / options.sampler, find_recipe("reference", None)
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = load("reference", recipe)
    pipeline.pipe.scheduler = SAMPLERS[options.sampler]()
    prompts, others = (
        evenly(read_prompts(name), options.samples)
        for name in (recipe.prompts, recipe.heldout_prompts)
    )
    with resumable(), watching() as watch:
        file, told = folder / "profile.safetensors", watch("calibrating")
        profile = calibrate(pipeline, prompts, [0], file, progress=told)
        told = watch("held-out samples")
        kept = Journal(folder / "heldout", work="recording")
        ensemble = PipelineEnsemble(pipeline, others, [1000], kept, batch=12, progress=told)
    rows, budgets = range(len(others)), parse_numbers(options.budgets, "--budgets")
    full = ensemble.full(rows, profile.steps)
    table = Table(options.sampler, *(f"B = {b}" for b in budgets), box=box.MARKDOWN)
    for predictor in ("adams", "fitted"):
        schedule = solve(profile, budgets, predictors=(predictor,)).replayable()
        made = [ensemble.replay(rows, schedule, budget) for budget in budgets]
        table.add_row(predictor, *(standing(latents, full) for latents in made))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Predictors in place of another sampler's steps.")
    parser.add_argument("--sampler", choices=SAMPLERS, default="unipc")
    parser.add_argument("--budgets", default="5,7,8,10,13,16,25", help="such as 8,10,16")
    parser.add_argument("--samples", type=int, default=24, help="calibration, and held-out ones")
    parser.add_argument("--folder", type=Path, default=Path("build/samplers"))
    quieten()
    Console(width=200, highlight=False).print(compete(parser.parse_args()))


if __name__ == "__main__":
    main()
