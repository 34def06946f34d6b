"""Is one shared schedule enough? How often it comes near the best for that very prompt.

    python -m benchmarks.golden [--model digits] [--budgets 9,13,21] [--pool 300] [--fitted 20]

In the manner of "Golden Path Hypothesis" (arXiv 2609.39343): on prompts that nothing was chosen
on, the share on which a schedule is within 1 dB of the best that any of a large pool of schedules
reaches on that prompt, by PSNR of final latents against all steps; and the mean gap to it. The pool
is made from calibration alone: plans of all planners, predictors, weightings, γ and orders, from
the whole calibration and from resampled ones; published tables of as many steps; random moves of
their knots; and closed-loop fits of some. Those that are judged are in it too. Beside ours stand
MeanCache's (``pssp`` with hold and jvp, L1, γ 4; and the released scripts' replay) and a search
like BudCache's (arXiv 2606.13496): held velocities, knots by simulated annealing and then hill
climbing on the final error of calibration samples.

Hours on one core: every schedule of the pool makes every held-out sample. Finished work is kept
under the folder; an interrupted run goes on from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contest import BASELINES, RELEASED, Bench, Judge, Way, refined
from benchmarks.digits import DigitFlow, DigitSource
from benchmarks.planners import Setting, contest_of, digits_contest
from benchmarks.schedule_pool import pool
from benchmarks.schedule_search import annealed
from benchmarks.standings import words
from meancache_plan.judge.findings import Spread
from meancache_plan.show.terminal.console import watching
from meancache_plan.source.recipe import parse_numbers
from meancache_runtime.schedule import Plan

OURS = "refined"
NEAR = 1.0
"""dB from the best that count as near."""

PUBLISHED = "published: 78.9 % for a searched schedule, 69.5 % BudCache, 63.3 % MeanCache"


class Standing(NamedTuple):
    """How a shared schedule does beside each prompt's best.

    Attributes:
        method, budget: Which.
        near: Share of prompts within :data:`NEAR`, with its bootstrap interval.
        gap: dB from the best, the same.
        pool: Schedules that the best is of.
    """

    method: str
    budget: int
    near: Spread
    gap: Spread
    pool: int


def standings(
    shared: dict[str, NDArray[np.float64]], pooled: NDArray[np.float64], budget: int
) -> list[Standing]:
    """Each shared schedule beside the best of them and of the pool, prompt by prompt.

    Args:
        shared: PSNR in dB of each prompt [P], by method.
        pooled: Of the pool's schedules, [schedules, P].
        budget: B.
    """
    everyone = np.vstack([pooled, *shared.values()])
    best = everyone.max(axis=0)
    found: list[Standing] = []
    for method, own in shared.items():
        gap = best - own
        near = Spread.of((gap <= NEAR).astype(float).tolist(), higher=True)
        spread = Spread.of(gap.tolist(), higher=False)
        found.append(Standing(method, budget, near, spread, len(everyone)))
    return found


def shared_schedules(contest: Bench, searches: int) -> dict[str, dict[int, Way]]:
    """One schedule a budget for all prompts, by method; all of them from calibration alone."""
    searched = {budget: annealed(contest, budget, searches) for budget in contest.budgets}
    return {
        OURS: dict(refined(contest)),
        "MeanCache: pssp, hold and jvp": dict(BASELINES["paper"](contest)),
        "MeanCache: pssp, released replay": dict(BASELINES[RELEASED](contest)),
        "like BudCache: annealed, hold": dict(searched),
    }


def judged(contest: Bench, options: argparse.Namespace) -> list[Standing]:
    """Every shared schedule at every budget."""
    judge = Judge(contest, contest.heldout, "heldout")
    shared = shared_schedules(contest, options.searches)
    found: list[Standing] = []
    with watching() as watch:
        for budget in contest.budgets:
            own = {
                method: by_prompt(judge, ways[budget], budget, contest)
                for method, ways in shared.items()
                if budget in ways
            }
            known = [_replay(ways[budget]) for ways in shared.values() if budget in ways]
            plans = pool(contest, budget, options.pool, options.fitted)
            others = [plan for plan in plans if _replay(plan) not in known]
            tell = watch(f"B = {budget}")
            pooled: list[NDArray[np.float64]] = []
            for done, plan in enumerate(others, start=1):
                pooled.append(by_prompt(judge, plan, budget, contest))
                tell(done, len(others))
            found += standings(own, np.array(pooled), budget)
    return found


def _replay(way: Way) -> object:
    """What of a plan decides its samples."""
    return (way.knots, way.intervals) if isinstance(way, Plan) else way


def by_prompt(judge: Judge, way: Way, budget: int, contest: Bench) -> NDArray[np.float64]:
    """Mean PSNR of each prompt's samples, [P]."""
    values, prompts = judge.decibels(way, budget), contest.heldout.prompt_index
    return np.array([values[prompts == prompt].mean() for prompt in np.unique(prompts)])


def table(found: Sequence[Standing]) -> Table:
    """One row a budget and method, with 95 % intervals over prompts."""
    shown = Table("B", "shared schedule", box=box.MARKDOWN)
    for heading in (f"within {NEAR:g} dB of the best, %", "mean gap, dB", "pool"):
        shown.add_column(heading, justify="right")
    for each in sorted(found, key=lambda each: -each.budget):
        low, high = each.near.interval
        share = f"{100 * each.near.mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        shown.add_row(
            str(each.budget), each.method, share, words(each.gap, digits=2), str(each.pool)
        )
    return shown


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One shared schedule beside each prompt's best.")
    parser.add_argument("--model", choices=("reference", "digits"), default="reference")
    parser.add_argument("--no-cfg", action="store_true", help="reference without true CFG")
    parser.add_argument("--budgets", default="9,13,21")
    parser.add_argument("--pool", type=int, default=300, help="schedules in the pool of a budget")
    parser.add_argument("--fitted", type=int, default=20, help="so many of them closed-loop fits")
    parser.add_argument("--searches", type=int, default=200, help="trials of the annealed search")
    parser.add_argument("--calibration", type=int, default=96, help="calibration samples")
    parser.add_argument("--heldout", type=int, default=64, help="held-out samples")
    parser.add_argument("--batch", type=int, default=16, help="samples a pipeline call")
    parser.add_argument("--tiny", action="store_true", help="try the code on digits in seconds")
    parser.add_argument("--folder", type=Path, help="for finished work")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.tiny:
        options.model, options.budgets = "digits", "3"
        options.pool, options.fitted, options.searches = 24, 3, 12
        options.calibration, options.heldout = 8, 6
    if options.folder is None:
        sizes = f"{options.calibration}-{options.heldout}"
        options.folder = Path("build/golden") / f"{options.model}-{sizes}"
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    budgets = parse_numbers(options.budgets, "--budgets")
    if options.tiny:
        sizes = options.calibration, options.heldout
        source = DigitSource(DigitFlow.of_noise(), 8)
        contest = digits_contest(source, *sizes, budgets, options.folder)
    else:
        contest = contest_of(Setting.of(options), budgets)
    found = judged(contest, options)
    Console(width=200).print(table(found))
    print(PUBLISHED)
    if options.json:
        rows = [
            each._asdict() | {"near": each.near.model_dump(), "gap": each.gap.model_dump()}
            for each in found
        ]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
