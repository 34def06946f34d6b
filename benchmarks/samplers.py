"""Predictors for plans that take another sampler's place, or a finer run's.

    python -m benchmarks.samplers [--samplers unipc,dpm,heun,finer] [--choose]

The embedded pipeline samples with UniPC, DPM-Solver++ or Heun in its flow mode, or with 200 steps
of its own sampler. From one calibration plans of ``adams`` and of ``fitted``, with and without
compensated gains, take the place of 50 steps of the former, or reach the latter's samples in 50.
They are judged on held-out prompts by the PSNR of their final latents. ``solve``'s default is
chosen by ``--choose``, which calibrates on half of the calibration prompts, judges on the other
half and leaves held-out prompts alone.
Finished work is kept under ``build/samplers/``; an interrupted run goes on from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Callable
from itertools import product
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
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.show.terminal.console import resumable, watching
from meancache_plan.source.diffusers.load_pipeline import load, quieten
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.recipe import Recipe, find_recipe, parse_numbers, read_prompts

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
FINER, STEPS = "finer", 200
"""The pipeline's own sampler, with so many steps."""


def prompts_of(recipe: Recipe, options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """To calibrate on, and to judge on."""
    known = read_prompts(recipe.prompts)
    unseen = known[1::2] if options.choose else read_prompts(recipe.heldout_prompts)
    fitted = known[::2] if options.choose else known
    return evenly(fitted, options.samples), evenly(unseen, options.samples)


def compete(sampler: str, options: argparse.Namespace) -> Table:
    """A line a predictor, and its gains compensated; a column a budget."""
    recipe = find_recipe("reference", None)
    folder = options.folder / f"{sampler}{'-chosen' if options.choose else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    pipeline, finer = load("reference", recipe), STEPS if sampler == FINER else None
    if sampler != FINER:
        pipeline.pipe.scheduler = SAMPLERS[sampler]()
    prompts, others = prompts_of(recipe, options)
    with resumable(), watching() as watch:
        file, told = folder / "profile.safetensors", watch(f"{sampler}: calibrating")
        profile = calibrate(
            pipeline, prompts, [0], file, batch=16, finer_steps=finer, progress=told
        )
        told = watch(f"{sampler}: samples to judge")
        kept = Journal(folder / "heldout", work="recording")
        ensemble = PipelineEnsemble(
            pipeline, others, [1000], kept, batch=16, finer_steps=finer, progress=told
        )
    rows, budgets = range(len(others)), parse_numbers(options.budgets, "--budgets")
    full = ensemble.full(rows, profile.steps)
    table = Table(sampler, *(f"B = {b}" for b in budgets), box=box.MARKDOWN)
    for predictor, compensate in product(("adams", "fitted"), (False, True)):
        solved = solve(profile, budgets, predictors=(predictor,), compensate=compensate)
        schedule = solved.replayable()
        made = [ensemble.replay(rows, schedule, budget) for budget in budgets]
        name = f"{predictor}, compensated" if compensate else predictor
        table.add_row(name, *(standing(latents, full) for latents in made))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Predictors in place of another sampler's steps.")
    parser.add_argument("--samplers", default="unipc", help=f"of {', '.join(SAMPLERS)}, {FINER}")
    parser.add_argument("--choose", action="store_true", help="judge on calibration prompts")
    parser.add_argument("--budgets", default="5,7,8,10,13,16,25", help="such as 8,10,16")
    parser.add_argument("--samples", type=int, default=24, help="to calibrate on, and to judge on")
    parser.add_argument("--folder", type=Path, default=Path("build/samplers"))
    options = parser.parse_args()
    names = options.samplers.split(",")
    if unknown := set(names) - {*SAMPLERS, FINER}:
        parser.error(f"--samplers: no {', '.join(sorted(unknown))}")
    quieten()
    for name in names:
        Console(width=200, highlight=False).print(compete(name, options))


if __name__ == "__main__":
    main()
