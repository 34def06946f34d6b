"""What planning for another grid from a transferred profile loses against calibrating there.

    python -m benchmarks.transfer [--reference]

Both plan the same budgets for the new grid, and are judged on held-out noise by the mean PSNR of
the final latents against all steps of the new grid. Mean PSNR in dB: native, transferred, and
their difference, the loss.

With --reference also on the embedded pipeline, on held-out prompts: its calibration is used for
other steps, another size and other guidance, beside one made there; and what ``solve`` predicts,
from the worst case to the best, of plans that it makes from the calibration carried over.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from meancache_plan import Profile, Schedule, calibrate, profile_flow, solve
from meancache_plan.core.grid import shifted_sigmas
from meancache_plan.core.psnr import decibels
from meancache_plan.core.trajectory import record_flow
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.measure.transfer import transfer
from meancache_plan.schedule.provenance import Quality
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override, read_prompts
from meancache_runtime import attach, integrate

GRIDS = (((50, 3.0), (28, 3.0)), ((50, 3.0), (50, 2.0)), ((30, 3.0), (50, 3.0)))
"""(T, shift) of the calibration, and of the new grid."""

PLANS = (("adams",), ("fitted",))
SAMPLES = 16

CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "28 steps": {"steps": 28},
    "40 steps": {"steps": 40},
    "96 × 96 pixels": {"height": 96, "width": 96},
    "no CFG": {"guidance": 1.0, "branches": 1},
    "guidance 4": {"guidance": 4.0},
    "guidance 7.5": {"guidance": 7.5},
}
"""What differs from the embedded pipeline's own recipe where its calibration is used."""

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


def reference(folder: Path) -> None:
    """On the embedded pipeline: a calibration at its own settings, used at others."""
    recipe = find_recipe("reference", None)
    prompts = evenly(read_prompts(recipe.prompts), SAMPLES)
    heldout = read_prompts(recipe.heldout_prompts)[: 2 * SAMPLES]

    def calibrated(pipeline: Pipeline, name: str) -> Profile:
        return calibrate(pipeline, prompts, [0], folder / name)

    source = calibrated(load("reference", recipe), "own")
    print(f"{'reference':<16}   B  native  carried   loss  predicted for the carried")
    inside: list[bool] = []
    for name, change in CHANGES.items():
        pipeline = load("reference", override(recipe, **change))
        native, full = calibrated(pipeline, name), final(pipeline, heldout)
        carried = source if native.sigmas == source.sigmas else transfer(source, native.sigmas)
        for budget in (native.steps // 5, native.steps // 3, native.steps // 2):
            found: list[float] = []
            plans = [solve(profile, (budget,)) for profile in (native, carried)]
            for plan in plans:
                with attach(pipeline.pipe, plan, budget=budget, on_unstable="ignore"):
                    found.append(float(decibels(full, final(pipeline, heldout)).mean()))
            told = predicted(plans[1], budget)
            inside.append(told.low <= found[1] <= told.high)
            print(
                f"{name:<16}  {budget:>2}  {found[0]:6.2f}   {found[1]:6.2f}"
                f"  {found[0] - found[1]:+5.2f}  {told.low:.1f} to {told.high:.1f}"
                f"{'' if inside[-1] else '  not inside'}",
                flush=True,
            )
    print(f"inside: {sum(inside)} of {len(inside)}")


def predicted(schedule: Schedule, budget: int) -> Quality:
    """What ``solve`` wrote of a plan."""
    record = schedule.calibrated and schedule.calibrated.record(budget)
    assert record
    assert record.predicted
    return record.predicted


def final(pipeline: Pipeline, prompts: Sequence[str]) -> Tensor:
    """Final latents of one batched call, [n, …]."""
    seeds = [1000] * len(prompts)
    return pipeline.run(prompts, seeds, output_type="latent").images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", action="store_true", help="on the embedded pipeline, too")
    options = parser.parse_args()
    closed_form()
    if options.reference:
        with tempfile.TemporaryDirectory() as folder:
            reference(Path(folder))


if __name__ == "__main__":
    main()
