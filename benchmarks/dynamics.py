"""Do errors grow on their way to the sample as they do in the large models?

Run ``python -m benchmarks.dynamics``: minutes on one core. Two things are measured on the
reference pipeline, or on another of the same settings:

- how much an error grows or fades that is put into a full run at a step, along the velocity's own
  change from the step before, as a cached step errs;
- where the paper's plan (``pssp``, ``hold,jvp``, L1, γ = 4) from its profile places its knots,
  beside the eleven tables that MeanCache's authors publish: how far the sorted knots lie from a
  table's, in steps, and how far uniform knots do.

A bar stands for each; one that is missed is said, and the exit status is 3.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks.bars import MISSED, met
from meancache_plan import load_profile, solve
from meancache_plan.core.grid import uniform_knots
from meancache_plan.core.trajectory import Trajectory
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.schedule.published_plans import load_plans
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override, read_prompts

EARLY, LATE = (5, 10, 15, 20, 25), (45, 47, 48, 49)
GROWS, FADES, NEARER = 1.5, 1.0, 0.65
"""What the early median must exceed, the late one stay below, and the ratio of distances reach."""

SIZE = 0.02
"""Norm of an injected error as a part of the sample's."""

TABLES = Path(__file__).parent.parent / "schedules" / "published.json"


@dataclass(frozen=True, slots=True)
class Distances:
    """A published table's knots, and how far the paper's plan and uniform knots are from them."""

    model: str
    budget: int
    planned: tuple[int, ...]
    distance: float
    uniform: float


def injected(run: Trajectory, step: int) -> Tensor:
    """The error, [n, …]: along v_{step−1} − v_{step−2}, SIZE of each sample's norm."""
    change = run.velocities[step - 1] - run.velocities[step - 2]
    dims = tuple(range(1, change.ndim))
    norm = torch.linalg.vector_norm
    size = SIZE * norm(run.latents[-1], dim=dims, keepdim=True)
    return change * size / norm(change, dim=dims, keepdim=True)


def propagation(
    pipeline: Pipeline, prompts: Sequence[str], seeds: Sequence[int], steps: Sequence[int]
) -> dict[int, list[float]]:
    """How many times larger an error is at the end, for each step, of every sample."""
    runs, _ = pipeline.record_batch(prompts, seeds)
    joined = replace(
        runs[0],
        latents=torch.cat([run.latents for run in runs], dim=1),
        velocities=torch.cat([run.velocities for run in runs], dim=1),
    )
    found: dict[int, list[float]] = {}
    for step in steps:
        error = injected(joined, step)
        there = pipeline.resume(prompts, seeds, step, joined.latents[step] + error).latents[-1]
        grown = (there - joined.latents[-1]).flatten(1).norm(dim=1)
        found[step] = (grown / error.flatten(1).norm(dim=1)).tolist()
    return found


def knot_distance(some: Sequence[int], others: Sequence[int]) -> float:
    """Mean distance in steps of sorted knots, as many of one as of the other."""
    return float(np.mean(np.abs(np.sort(some) - np.sort(others))))


def compare(
    profile: Profile, published: Mapping[str, Mapping[int, Sequence[int]]]
) -> list[Distances]:
    """The paper's plan from a profile beside each table of fresh steps, by model and budget."""
    budgets = sorted({budget for tables in published.values() for budget in tables})
    schedule = solve(
        profile,
        budgets,
        planner="pssp",
        predictors=("hold", "jvp"),
        metric="l1",
        weighting="none",
        gamma=4.0,
    )
    knots = {plan.budget: plan.knots for plan in schedule.plans}
    return [
        Distances(
            model,
            budget,
            tuple(knots[budget]),
            knot_distance(knots[budget], table),
            knot_distance(uniform_knots(profile.steps, budget), table),
        )
        for model, tables in published.items()
        for budget, table in tables.items()
    ]


def published_knots(steps: int) -> dict[str, dict[int, Sequence[int]]]:
    """The fresh steps of every published table of so many steps."""
    return {
        model: {int(budget): entry.fresh_steps for budget, entry in table.budgets.items()}
        for model, table in load_plans(TABLES).items()
        if table.steps == steps
    }


def print_propagation(found: Mapping[int, Sequence[float]]) -> list[bool]:
    """Print a line a step and the two bars; whether each is met."""
    print("growth of an error on its way to the sample, along the velocity's own change")
    print(f"{'step':>6}{'median':>9}{'lowest quarter':>17}{'highest quarter':>17}")
    for step, values in sorted(found.items()):
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        print(f"{step:>6}{middle:>9.2f}{low:>17.2f}{high:>17.2f}")
    early, late = (
        float(np.median([a for step in steps for a in found[step]])) for steps in (EARLY, LATE)
    )
    return [
        met(f"median at steps {EARLY[0]} to {EARLY[-1]}", early, early > GROWS, f"> {GROWS}"),
        met(f"median from step {LATE[0]} on", late, late < FADES, f"< {FADES}"),
    ]


def print_distances(rows: Sequence[Distances]) -> bool:
    """Print the plans, their distances, and the bar; whether it is met."""
    print("\nthe paper's plans")
    for budget, knots in sorted({row.budget: row.planned for row in rows}.items()):
        print(f"  B = {budget:>2}: {' '.join(map(str, knots))}")
    print("\nmean distance of sorted knots to the published table, in steps")
    print(f"{'model':<24}{'B':>4}{'the plan':>10}{'uniform':>9}")
    for row in rows:
        print(f"{row.model:<24}{row.budget:>4}{row.distance:>10.2f}{row.uniform:>9.2f}")
    plan, uniform = (
        float(np.mean(values))
        for values in zip(*((row.distance, row.uniform) for row in rows), strict=True)
    )
    print(f"{f'mean of {len(rows)}':<28}{plan:>10.2f}{uniform:>9.2f}\n")
    ratio = plan / uniform
    return met("the plan's distance by uniform knots'", ratio, ratio <= NEARER, f"<= {NEARER}")


def spread(prompts: Sequence[str], count: int) -> list[str]:
    """So many of the prompts, evenly over them."""
    return [prompts[k * len(prompts) // count] for k in range(min(count, len(prompts)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", default=catalog.REFERENCE, help="a folder, or reference")
    parser.add_argument("--prompts", type=Path, help="a file; by default the recipe's")
    parser.add_argument("--max-sequence-length", type=int, help="by default the recipe's")
    parser.add_argument("--samples", type=int, default=24, help="of each of the two measurements")
    options = parser.parse_args()
    recipe = find_recipe(catalog.REFERENCE, None)
    if options.max_sequence_length is not None:
        recipe = override(recipe, call={"max_sequence_length": options.max_sequence_length})
    prompts = spread(read_prompts(str(options.prompts or recipe.prompts)), options.samples)
    pipeline = load(options.pipeline, recipe, device="cpu")
    seeds = list(range(len(prompts)))
    kept = [*print_propagation(propagation(pipeline, prompts, seeds, (*EARLY, *LATE)))]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "profile.safetensors"
        calibrate(pipeline, prompts, seeds[:1], path, Measuring(propagation=False))
        kept.append(print_distances(compare(load_profile(path), published_knots(recipe.steps))))
    sys.exit(0 if all(kept) else MISSED)


if __name__ == "__main__":
    main()
