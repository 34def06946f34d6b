"""Gains for one plan's knots, fitted in several ways and on several numbers of samples.

    python -m benchmarks.gains [--model digits] [--budget 10] [--rounds 60]

The knots are those of ``solve``'s plan. Its gains are fitted as ``refine`` does, on 8 to 64
calibration samples: in closed loop, and then together for the final sample, with the damping that
is best on 32 other calibration samples, or not at all where none helps these; the latter also by
asking the velocities of every copy of a sample, not in a few directions. Beside it stand the
same gains learned as a solver is: with Adam, by backpropagation through the model, on 32 samples,
from the closed-loop gains; the best of the rounds on the same others. Judged on held-out samples.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.contest import Bench, Judge, solved
from benchmarks.planners import usual_contest
from benchmarks.samples import Samples
from benchmarks.standings import words
from meancache_plan.core.predictors import adams_terms
from meancache_plan.core.reweighted import Equations
from meancache_plan.improve.closed_loop import fit, prior_gains, with_gains
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.improve.joint_fit import RANK, refreshes, responses, step
from meancache_plan.improve.race import DAMPINGS, SHRINKAGE
from meancache_plan.improve.refine import ORDER
from meancache_plan.judge.findings import Spread
from meancache_runtime.schedule import Plan

COUNTS = (8, 16, 32, 64)
"""Samples that gains are fitted on."""

LEARNED = 32
"""Those that they are learned on."""

EVERY = 10**6
"""A rank at which velocities are asked for every copy."""

BATCH, RATE, PATIENCE = 16, 0.02, 10
"""Samples a round of Adam, its first step size, and rounds from one judgement to the next."""

Score = Callable[[Plan], float]
"""Mean PSNR in dB on calibration samples that no gain is fitted on."""


class Fitted(NamedTuple):
    """A plan, how its gains were found, on how many samples, and for how many refreshes."""

    method: str
    samples: int
    refreshes: int
    plan: Plan


def plans(contest: Bench, budget: int, rounds: int) -> Iterator[Fitted]:
    """Every way to find the gains of ``solve``'s knots."""
    plan = solved(contest, compensate=False)[budget]
    yield Fitted("as solved", 0, 0, plan)
    everyone = range(len(contest.fitted.prompt_index))
    for count in COUNTS:
        if count >= len(everyone):
            return
        rows = evenly(everyone, count)
        score = on_others(contest, rows, budget)
        closed = in_closed_loop(contest, plan, rows)
        yield Fitted("closed loop", count, count * budget, closed)
        for rank in (RANK, EVERY):
            taken = count * (budget + refreshes(prior_gains(closed) or [], rank))
            method = "closed loop, then joint" + (", every copy" if rank == EVERY else "")
            yield Fitted(method, count, taken, joined(contest, closed, rows, score, rank))
        if count == LEARNED:
            taken = count * budget + 3 * rounds * BATCH * budget  # a backward pass is as two
            found = learned(contest.fitted, closed, rows, rounds, score)
            yield Fitted("closed loop, then Adam through the model", count, taken, found)


def on_others(contest: Bench, rows: Sequence[int], budget: int) -> Score:
    """Judges plans by at most 32 of the other samples."""
    others = sorted(set(range(len(contest.fitted.prompt_index))) - set(rows))
    judge = Judge(contest, contest.fitted, f"others-{len(rows)}")
    kept = evenly(others, 32)
    return lambda plan: float(judge.decibels(plan, budget)[kept].mean())


def in_closed_loop(contest: Bench, plan: Plan, rows: Sequence[int]) -> Plan:
    """Gains of each interval in turn."""
    prior = prior_gains(plan)
    assert prior is not None  # the plan's predictors are hold and adams
    options: dict[str, Any] = {"order": ORDER, "shrinkage": SHRINKAGE}
    return with_gains(plan, fit(contest.fitted, rows, plan.knots, prior, **options).gains)


def joined(contest: Bench, plan: Plan, rows: Sequence[int], score: Score, rank: int) -> Plan:
    """All gains at once, for the final sample."""
    gains = prior_gains(plan)
    assert gains is not None
    journal = contest.journal("gains")

    def response(row: int) -> list[list[float]]:
        def run() -> list[list[float]]:
            return responses(contest.fitted, row, plan.knots, gains, rank=rank).tolist()

        return journal.recall("responses", [str(plan), row, rank], run)

    equations = Equations.of(np.array([response(row) for row in rows]))
    found = [with_gains(plan, step(equations, gains, damping)) for damping in DAMPINGS]
    return max([plan, *found], key=score)


def learned(samples: Samples, plan: Plan, rows: Sequence[int], rounds: int, score: Score) -> Plan:
    """Gains by Adam, on the mean logarithm of the squared error, which PSNR is."""
    start, draw = prior_gains(plan), random.Random(0)
    assert start is not None
    gains = [torch.tensor(own, dtype=torch.float64, requires_grad=True) for own in start]
    optimizer = torch.optim.Adam(gains, lr=RATE)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds)
    found = [plan]
    for done in range(1, rounds + 1):
        some = sorted(draw.sample(list(rows), min(BATCH, len(rows))))
        optimizer.zero_grad()
        squared_errors(samples, some, plan.knots, gains).log().mean().backward()
        optimizer.step()
        slower.step()
        if done % PATIENCE == 0 or done == rounds:
            found.append(with_gains(plan, [tuple(own.tolist()) for own in gains]))
    return max(found, key=score)


def squared_errors(
    samples: Samples, rows: Sequence[int], knots: Sequence[int], gains: Sequence[Tensor]
) -> Tensor:
    """Mean squared error of a replay's final latents [n], which knows its gradient by the gains."""
    sigmas, field = samples.sigmas, samples.field(rows)
    latents, fresh = samples.full(rows, 0), dict[int, Tensor]()
    ends = (*knots[1:], len(sigmas) - 1)
    for n, (knot, end, own) in enumerate(zip(knots, ends, gains, strict=True)):
        fresh[knot] = field(latents, sigmas[knot])
        forms = adams_terms(sigmas, knots[: n + 1], end, len(own), False)
        for gain, form in zip(own, forms, strict=True):
            term = torch.stack([weight * fresh[k] for k, weight in form.items()]).sum(0)
            latents = latents + (sigmas[end] - sigmas[knot]) * gain * term
    off = latents - samples.full(rows, len(sigmas) - 1)
    return off.flatten(1).square().mean(1)


def table(contest: Bench, budget: int, rounds: int) -> Table:
    """One row a way, judged on held-out samples."""
    judge = Judge(contest, contest.heldout, "gains-heldout")
    shown = Table("gains", box=box.MARKDOWN)
    for heading in ("fitted on", "full samples' worth", "PSNR, dB", "worst tenth"):
        shown.add_column(heading, justify="right")
    for each in plans(contest, budget, rounds):
        spread = Spread.of(judge.decibels(each.plan, budget).tolist(), higher=True)
        cost = each.refreshes / contest.profile.steps
        row = (str(each.samples or "–"), f"{cost:.0f}", words(spread), f"{spread.worst_tenth:.1f}")
        shown.add_row(each.method, *row)
    return shown


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Gains fitted in several ways.")
    parser.add_argument("--model", choices=("reference", "digits"), default="reference")
    parser.add_argument("--budget", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=60, help="of Adam")
    parser.add_argument("--batch", type=int, default=16, help="samples a pipeline call")
    parser.add_argument("--folder", type=Path, help="for finished work")
    return parser.parse_args()


def main() -> None:
    options = parse()
    budgets = (options.budget,)
    contest = usual_contest(options, budgets)
    Console(width=200).print(table(contest, options.budget, options.rounds))


if __name__ == "__main__":
    main()
