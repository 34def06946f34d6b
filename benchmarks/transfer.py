"""What planning for another grid from a transferred profile loses against calibrating there.

    python -m benchmarks.transfer [--reference]

Both plan the same budgets for the new grid, and are judged on held-out noise (with --reference: on
held-out prompts of the embedded pipeline) by the mean PSNR of the final latents against all steps
of the new grid. Mean PSNR in dB: native, transferred, and their difference, the loss.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from meancache_plan import Profile, Schedule, calibrate, profile_flow, solve
from meancache_plan.core.grid import shifted_sigmas
from meancache_plan.core.psnr import decibels
from meancache_plan.core.trajectory import record_flow
from meancache_plan.measure.transfer import transfer
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override, read_prompts
from meancache_runtime import attach, integrate

GRIDS = (((50, 3.0), (28, 3.0)), ((50, 3.0), (50, 2.0)), ((30, 3.0), (50, 3.0)))
"""(T, shift) of the calibration, and of the new grid."""

PLANS = (("adams",), ("fitted",))
SAMPLES = 16

Replay = Callable[[Schedule, int], Tensor]
"""(schedule, budget) → final latents [n, …]."""


def mixture(numel: int = 64) -> Callable[[Tensor, float], Tensor]:
    """The exact velocity of data from a mixture of eight narrow Gaussians."""
    means = torch.randn(8, numel, generator=torch.Generator().manual_seed(0)).double()

    def velocity(z: Tensor, sigma: float) -> Tensor:
        variance = (1 - sigma) ** 2 * 0.04 + sigma**2
        off = z[..., None, :] - (1 - sigma) * means
        clean = means + (1 - sigma) * 0.04 / variance * off
        posterior = torch.softmax(-off.square().sum(-1) / (2 * variance), dim=-1)
        return (posterior[..., None] * (sigma / variance * off - clean)).sum(-2)

    return velocity


def compare(title: str, native: Profile, source: Profile, replay: Replay, full: Tensor) -> None:
    """Plan from both profiles, and print what each reaches."""
    carried, steps = transfer(source, native.sigmas), native.steps
    budgets = sorted({max(2, round(steps * part)) for part in (0.16, 0.2, 0.25, 0.32, 0.5)})
    for predictors in PLANS:
        plans = [solve(p, budgets, predictors=predictors) for p in (native, carried)]
        print(f"{title}, {','.join(predictors)}")
        for budget in budgets:
            here, there = (decibels(full, replay(plan, budget)).mean() for plan in plans)
            print(f"  B = {budget:>2}  {here:6.2f}  {there:6.2f}  {here - there:+6.2f}", flush=True)


def closed_form() -> None:
    velocity = mixture()
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(3 * SAMPLES, 64, generator=generator, dtype=torch.float64)
    fitted, heldout = noise[:SAMPLES], noise[SAMPLES:]
    for old, new in GRIDS:
        grid = shifted_sigmas(*new)
        native = profile_flow(velocity, fitted, grid)
        source = profile_flow(velocity, fitted, shifted_sigmas(*old))

        def replay(schedule: Schedule, budget: int) -> Tensor:
            return integrate(velocity, heldout, schedule, budget=budget)

        full = record_flow(velocity, heldout, grid).latents[-1]
        compare(f"mixture, T and shift {old} -> {new}", native, source, replay, full)


def reference(old: int, new: int) -> None:
    recipe = find_recipe("reference", None)
    pipelines = {steps: load("reference", override(recipe, steps=steps)) for steps in (old, new)}
    prompts = read_prompts(recipe.prompts)
    prompts = prompts[:: len(prompts) // SAMPLES][:SAMPLES]
    with tempfile.TemporaryDirectory() as folder:
        profiles = {
            steps: calibrate(pipeline, prompts, [0], Path(folder) / f"{steps}")
            for steps, pipeline in pipelines.items()
        }
    heldout = read_prompts(recipe.heldout_prompts)[:SAMPLES]

    def replay(schedule: Schedule, budget: int) -> Tensor:
        with attach(pipelines[new].pipe, schedule, budget=budget):
            return final(pipelines[new], heldout)

    full = final(pipelines[new], heldout)
    compare(f"reference, T = {old} -> {new}", profiles[new], profiles[old], replay, full)


def final(pipeline: Pipeline, prompts: Sequence[str]) -> Tensor:
    """Final latents of one batched call, [n, …]."""
    seeds = [1000] * len(prompts)
    return pipeline.run(prompts, seeds, output_type="latent").images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", action="store_true", help="on the embedded pipeline, too")
    parser.add_argument("--steps", nargs=2, type=int, default=(50, 28), help="its grids")
    options = parser.parse_args()
    closed_form()
    if options.reference:
        reference(*options.steps)


if __name__ == "__main__":
    main()
