"""What other terms would save where all gains are fitted together, for the final sample.

    python -m benchmarks.richer_joint [--budgets 8,10,13]

As :mod:`benchmarks.richer`, but on the states that replay reaches and with what becomes of each
term on its way to the end. A plan has ``solve``'s knots and closed-loop gains; copies of a sample,
each moved along a term when its interval ends, tell how the final latents answer to it, on
calibration and on held-out samples. Gains are fitted on the ones, with the damping that is best
across their halves, and judged on the others. Where samples answer in proportion this is what a
replay would find; the second row says how nearly, as the first kind is one that can be replayed.
The reference alone: the hardest digits answer far from in proportion.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.contest import Bench, Judge, fitted, solved
from benchmarks.planners import usual_contest
from benchmarks.samples import PipelineSamples
from meancache_plan.core.predictors import adams_terms
from meancache_plan.core.reweighted import Equations, solve
from meancache_plan.improve.closed_loop import prior_gains, with_gains
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.improve.joint_fit import NUDGE, Copies, sum_of
from meancache_plan.improve.refine import ORDER
from meancache_plan.source.recipe import parse_numbers
from meancache_runtime.binding import combine
from meancache_runtime.schedule import Plan

SAMPLES = 48
"""Calibration samples, and held-out ones."""

DAMPINGS = (0.3, 0.1, 0.03, 0.01)

BACK = -NUDGE
"""How far copies are moved: against their terms, where the joint fit moves them along."""

MOST = 6
"""Velocities that a term is made of, at most."""

Array = NDArray[np.float64]
Fresh = dict[int, Tensor]


class Term(NamedTuple):
    """What a term is made of, and of how many knots."""

    of: str
    order: int = 1


VELOCITY = [Term("velocity", order) for order in range(1, MOST + 1)]
KINDS: dict[str, Sequence[Term]] = {
    "order 2": VELOCITY[:2],
    "order 4": VELOCITY[:4],
    "order 5": VELOCITY[:5],
    "order 6": VELOCITY[:6],
    "the picture's mean apart": [*VELOCITY[:ORDER], Term("mean", 1), Term("mean", 2)],
    "the latents too": [*VELOCITY[:ORDER], Term("latents")],
    "guidance apart": [*VELOCITY[:ORDER], *(Term("guidance", order) for order in (1, 2, 3))],
}


class Responses(NamedTuple):
    """Inner products of responses, by term, and of what samples miss [S, p + 1, p + 1]."""

    terms: list[Term]
    products: Array


def responses(samples: PipelineSamples, rows: Sequence[int], plan: Plan) -> Responses:
    """How the final latents of these samples answer to every term of every interval."""
    found = [_response(samples, row, plan) for row in rows]
    return Responses(found[0][0], np.array([products for _, products in found]))


def _response(samples: PipelineSamples, row: int, plan: Plan) -> tuple[list[Term], Array]:
    sigmas, latents = samples.sigmas, samples.full([row], 0)
    copies, terms, fresh, added = Copies(latents), list[Term](), Fresh(), Fresh()
    known = prior_gains(plan) or []
    ends = (*plan.knots[1:], len(sigmas) - 1)
    for n, (knot, end, own) in enumerate(zip(plan.knots, ends, known, strict=True)):
        h = sigmas[end] - sigmas[knot]
        states = torch.cat([latents, latents + copies.offsets])
        velocity, guidance = samples.guided([row] * len(states), knot, states)
        fresh[knot], added[knot] = velocity[:1], guidance[:1]
        forms = adams_terms(sigmas, plan.knots[: n + 1], end, min(MOST, n + 1), False)
        step = combine([(h * gain, form) for gain, form in zip(own, forms, strict=False)])
        copies.advance(knot, velocity[1:] - velocity[:1], step, MOST)
        exact = end - knot == 1
        for term, moved in _moved(forms[:1] if exact else forms, fresh, added, latents, exact):
            copies.add(h * moved, BACK * float(latents.norm()))
            terms.append(term)
        latents = latents + sum_of(step, fresh)
    missed = samples.full([row], len(sigmas) - 1) - latents
    parts = torch.cat([copies.responses(), missed.flatten(1).double()])
    return terms, (parts @ parts.T).numpy()


def _moved(
    forms: Sequence[Mapping[int, float]], fresh: Fresh, added: Fresh, latents: Tensor, exact: bool
) -> Iterator[tuple[Term, Tensor]]:
    """What each term adds to an interval's average velocity."""
    velocities = [sum_of(form, fresh) for form in forms]
    for order, each in enumerate(velocities, 1):
        yield Term("velocity", order), each
    if exact:
        return
    for order, each in enumerate(velocities[:2], 1):
        yield Term("mean", order), mean(each)
    yield Term("latents"), latents
    for order, form in enumerate(forms[:ORDER], 1):
        yield Term("guidance", order), sum_of(form, added)


def mean(latents: Tensor) -> Tensor:
    """Each channel's mean, everywhere; FLUX packs squares of four places into tokens."""
    places = latents.unflatten(-1, (-1, 4))
    return places.mean((1, 3), keepdim=True).expand_as(places).reshape_as(latents)


def gains(fit: Responses, kind: Sequence[Term]) -> Array:
    """What to add to the gains of these terms, in order; the damping is best across the halves."""
    own = equations(fit, kind)
    even = np.arange(len(own.square)) % 2 == 0
    halves = [own.only(even), own.only(~even)]

    def crossed(damping: float) -> float:
        pairs = zip(halves, halves[::-1], strict=True)
        return sum(float(np.log(b.errors(_solved(a, damping))).mean()) for a, b in pairs)

    return _solved(own, min(DAMPINGS, key=crossed))


def equations(of: Responses, kind: Sequence[Term]) -> Equations:
    """Those of these terms alone."""
    kept = [i for i, term in enumerate(of.terms) if term in kind] + [len(of.terms)]
    return Equations.of(of.products[:, kept][:, :, kept])


def _solved(own: Equations, damping: float) -> Array:
    return solve(own, np.zeros(own.right.shape[1]), damping)


def column(contest: Bench, budget: int) -> dict[str, str]:
    """One budget's figures, in dB: mean (hardest tenth)."""
    start = fitted(contest, solved(contest, compensate=False)[budget])
    (known, some), (unseen, others) = _some(contest.fitted), _some(contest.heldout)
    fit, judged = responses(known, some, start), responses(unseen, others, start)
    plain = VELOCITY[:ORDER]

    def decibels(kind: Sequence[Term]) -> Array:
        return -10 * np.log10(equations(judged, kind).errors(gains(fit, kind)))

    before, base = -10 * np.log10(judged.products[:, -1, -1]), decibels(plain)
    hardest = np.argsort(base)[: max(1, len(base) // 10)]

    def cell(gained: Array) -> str:
        return f"{gained.mean():+.2f} ({gained[hardest].mean():+.2f})"

    judge = Judge(contest, contest.heldout, "richer-joint")
    plans = start, moved(start, gains(fit, plain))
    old, new = (judge.decibels(plan, budget)[others] for plan in plans)
    return {
        f"order {ORDER}, over the closed loop": cell(base - before),
        "the same, replayed": cell(new - old),
        **{name: cell(decibels(kind) - base) for name, kind in KINDS.items()},
    }


def _some(samples: Any) -> tuple[PipelineSamples, list[int]]:
    assert isinstance(samples, PipelineSamples)
    return samples, evenly(range(len(samples.prompt_index)), SAMPLES)


def moved(plan: Plan, by: Array) -> Plan:
    """The plan with so much more of its gains."""
    own = prior_gains(plan) or []
    parts = np.split(by, np.cumsum([len(each) for each in own])[:-1])
    added = (tuple((each + part).tolist()) for each, part in zip(own, parts, strict=True))
    return with_gains(plan, list(added))


def table(contest: Bench) -> Table:
    """A row a kind, a column a budget."""
    found = {budget: column(contest, budget) for budget in contest.budgets}
    shown = Table("dB saved (hardest tenth)", box=box.MARKDOWN)
    for budget in contest.budgets:
        shown.add_column(f"B = {budget}", justify="right")
    for name in found[contest.budgets[0]]:
        shown.add_row(name, *(each[name] for each in found.values()))
    return shown


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What other terms would save, fitted jointly.")
    parser.set_defaults(model="reference")
    parser.add_argument("--budgets", default="8,10,13")
    parser.add_argument("--batch", type=int, default=16, help="samples a pipeline call")
    parser.add_argument("--folder", type=Path, help="for finished work")
    return parser.parse_args()


def main() -> None:
    options = parse()
    contest = usual_contest(options, tuple(parse_numbers(options.budgets, "--budgets")))
    Console(width=200).print(table(contest))


if __name__ == "__main__":
    main()
