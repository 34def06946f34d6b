"""How many calibration prompts plans need: solved and refined from 8 to 96, judged on unseen ones.

    python -m benchmarks.prompts [--model digits] [--budgets 10,16]

Each number of prompts has a calibration of its own, with one sample a prompt, from which plans are
solved and then refined on the same samples: half of them to fit gains on, the others to choose by.
What that took is counted in full samples' worth of denoiser refreshes, for all budgets, with the
full runs. PSNR in dB of the final latents on 64 held-out samples, and the mean of the worst tenth.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contest import Bench, Judge, solved
from benchmarks.planners import Setting, contest_of
from benchmarks.standings import words
from meancache_plan.improve.refine import refine
from meancache_plan.judge.findings import Spread
from meancache_plan.plan.solve import solve
from meancache_plan.source.recipe import parse_numbers
from meancache_runtime.schedule import Plan

COUNTS = (8, 16, 32, 64, 96)
"""Calibration prompts."""

HELDOUT = 64


class Prepared(NamedTuple):
    """Plans from so many prompts, and the full samples' worth that making all of them took."""

    prompts: int
    method: str
    cost: float
    plans: dict[int, Plan]


def prepared(contest: Bench) -> Iterator[Prepared]:
    """As solved, and refined."""
    count, steps = len(contest.fitted.prompt_index), contest.profile.steps
    yield Prepared(count, "solved", count, solved(contest))
    draft = solve(contest.profile, contest.budgets)
    found = refine(contest.profile, draft, contest.fitted, contest.journal("refined"))
    effort = found.calibrated and found.calibrated.effort
    spent = effort.refinement / steps if effort else 0.0
    plans = {entry.budget: entry.plan for entry in found.plans}
    yield Prepared(count, "refined", count + spent, plans)


def table(counts: Sequence[int], options: argparse.Namespace) -> Table:
    """One row for each number of prompts and method."""
    budgets = tuple(parse_numbers(options.budgets, "budgets"))
    shown = Table("prompts", "plans", box=box.MARKDOWN)
    for heading in ("full samples' worth", *(f"B = {b}, dB (worst tenth)" for b in budgets)):
        shown.add_column(heading, justify="right")
    for count in counts:
        folder = options.folder / f"{options.model}-{count}-{HELDOUT}"
        contest = contest_of(Setting(options.model, folder, count, HELDOUT, 16), budgets)
        judge = Judge(contest, contest.heldout, "prompts-heldout")
        for each in prepared(contest):
            cells = (reached(judge, each.plans.get(budget), budget) for budget in budgets)
            shown.add_row(str(count), each.method, f"{each.cost:.0f}", *cells)
    return shown


def reached(judge: Judge, plan: Plan | None, budget: int) -> str:
    """The mean with its interval, and the worst tenth; a dash for a budget that was left out."""
    if plan is None:
        return "–"
    spread = Spread.of(judge.decibels(plan, budget).tolist(), higher=True)
    return f"{words(spread)} ({spread.worst_tenth:.1f})"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How many calibration prompts plans need.")
    parser.add_argument("--model", choices=("reference", "digits"), default="reference")
    parser.add_argument("--budgets", default="10,16", help="such as 8,10,16")
    parser.add_argument("--folder", type=Path, default=Path("build/prompts"))
    return parser.parse_args(arguments)


def main() -> None:
    Console(width=200).print(table(COUNTS, parse()))


if __name__ == "__main__":
    main()
