"""What the look at innovations adds to a run: part of a refresh's time, and latents in memory.

    python -m benchmarks.stability_cost [--budget 10] [--repeats 40]

Runs of the reference pipeline along the shipped schedule that look at its bounds
(``on_unstable="warn"``) and that do not (``"ignore"``) take turns, in CPU time of one thread. Of
what a knot's step takes beside its denoiser calls, the medians of both are compared, as a share of
these calls. Memory is the most that tensors take in the loop, which is counted. Exits with 3 if a
bar is missed.
"""

import argparse
import sys
from statistics import fmean, median
from typing import Any

import torch

from benchmarks.bars import MISSED, met
from benchmarks.realised import SCHEDULE, Loop, timed
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.sample_cost import compute
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.call_arguments import arguments
from meancache_plan.source.diffusers.load_pipeline import load, quieten
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, read_prompts
from meancache_runtime import Schedule, attach, load_schedule
from meancache_runtime.innovation import OnUnstable

POLICIES: tuple[OnUnstable, ...] = ("warn", "ignore")
ALLOWED = 0.2
"""Percent of a refresh's time."""


def share(pipeline: Pipeline, schedule: Schedule, budget: int, repeats: int) -> float:
    """The CPU time that the look adds at a knot, in percent of the denoiser calls there."""
    pipe, loops = pipeline.pipe, dict[OnUnstable, list[Loop]]()
    options: dict[str, Any] = arguments(pipeline.recipe)
    options |= {"num_inference_steps": pipeline.recipe.steps}
    for _ in range(repeats):
        for policy in POLICIES:
            with attach(pipe, schedule, budget=budget, on_unstable=policy):
                loops.setdefault(policy, []).append(timed(pipe, options))
    knots = schedule.plan(budget).knots
    beside = {
        policy: fmean(median(run.beside[knot] for run in runs) for knot in knots)
        for policy, runs in loops.items()
    }
    calls = [seconds for runs in loops.values() for run in runs for seconds in run.calls]
    refresh = median(calls) * len(calls) / (len(POLICIES) * repeats * len(knots))
    return 100 * (beside["warn"] - beside["ignore"]) / refresh


def kept(pipeline: Pipeline, schedule: Schedule, budget: int, prompt: str) -> float:
    """The memory that the look adds to a loop's peak, in latents."""
    peaks = [
        compute(pipeline, _following(schedule, budget, policy), prompt, 0).memory
        for policy in POLICIES
    ]
    return (peaks[0] - peaks[1]) / pipeline.final_latents([prompt], [0]).nbytes


def _following(schedule: Schedule, budget: int, policy: OnUnstable) -> Contender:
    def enter(pipeline: Pipeline) -> Any:
        return attach(pipeline.pipe, schedule, budget=budget, on_unstable=policy)

    return Contender(policy, f"B = {budget}", schedule.grid.steps, enter)


def main() -> None:
    """Measure and print; exit with 3 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=40)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    quieten()
    recipe = find_recipe(catalog.REFERENCE, None)
    pipeline = load(catalog.REFERENCE, recipe, device="cpu")
    pipeline.pipe.set_progress_bar_config(disable=True)
    schedule = load_schedule(SCHEDULE)
    latents = kept(pipeline, schedule, chosen.budget, read_prompts(recipe.prompts)[0])
    added = share(pipeline, schedule, chosen.budget, chosen.repeats)
    light = met("percent of a refresh", added, added <= ALLOWED, f"at most {ALLOWED:.1f}")
    small = met("latents kept", latents, latents <= 1, "at most 1")
    sys.exit(0 if light and small else MISSED)


if __name__ == "__main__":
    main()
