"""The contest: methods that plan from one calibration, judged by replay on held-out samples.

What is found stands in the compiler's own rows (:mod:`meancache_plan.judge.findings`: figures,
spreads, intervals), made of latents by the measure of ``refine``. Methods are no contenders
(:class:`meancache_plan.judge.contender.Contender`): those enter a pipeline, which the digits flow
has not, and are judged by its pictures; a method makes plans for all budgets from a
:class:`Bench`. Samples come from an ensemble, many at a time and by the textbook's steps too, so
:class:`Judge` counts what they took, to refuse whoever took more refreshes than the others.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from benchmarks.samples import Samples
from meancache_plan.core.grid import uniform_knots
from meancache_plan.core.psnr import latent_range, moments
from meancache_plan.files.journal import Journal, beside
from meancache_plan.improve.closed_loop import fit, prior_gains, with_gains
from meancache_plan.improve.dealt_samples import final_errors
from meancache_plan.improve.race import STAGES, Stage
from meancache_plan.improve.refine import refine
from meancache_plan.improve.trials import decibels
from meancache_plan.judge.findings import Row, Spread
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule as Artifact
from meancache_runtime.schedule import Grid, Plan, Schedule

Way = Plan | Literal["euler", "textbook"]
"""How a sample is made: by a plan, or by plain steps on a grid of their own."""

Role = Literal["baseline", "ours", "ablation", "stage", "choice"]

RELEASED, REFINED = "released", "refined"


@dataclass(frozen=True)
class Bench:
    """What all methods share.

    Attributes:
        profile: Measured on the calibration samples.
        fitted: The calibration samples.
        heldout: The samples to judge on, none of them in ``fitted``.
        budgets: Values B, ascending.
        folder: Where finished work is kept, and found again.
        value_range: That PSNR refers to; by default 4 standard deviations of the full latents.
        shipped: A refined schedule from the same profile, to judge instead of refining again.
    """

    profile: Profile
    fitted: Samples
    heldout: Samples
    budgets: tuple[int, ...]
    folder: Path
    value_range: float | None = None
    shipped: Artifact | None = None

    def journal(self, name: str) -> Journal:
        """A record of finished work on these samples."""
        return Journal(
            beside(self.folder / name),
            {
                "profile": self.profile.fingerprint,
                "samples": [len(each.prompt_index) for each in (self.fitted, self.heldout)],
            },
        )


Method = Callable[[Bench], Mapping[int, Way]]
"""contest → a way for each budget; budgets may be missing."""


def plain(way: Literal["euler", "textbook"], contest: Bench) -> dict[int, Way]:
    """So few plain steps."""
    return dict.fromkeys(contest.budgets, way)


def uniform(contest: Bench) -> dict[int, Way]:
    """Grid Adams–Bashforth at evenly spread knots."""
    return {b: adams_plan(uniform_knots(contest.profile.steps, b)) for b in contest.budgets}


def solved(contest: Bench, **options: Any) -> dict[int, Plan]:
    """What ``solve`` finds with these options."""
    schedule = solve(contest.profile, contest.budgets, **options)
    return {entry.budget: entry.plan for entry in schedule.plans}


def refined(contest: Bench) -> dict[int, Plan]:
    """``solve``, then ``refine``; or the schedule that was made so."""
    shipped = contest.shipped
    if shipped is not None:
        if shipped.calibrated is None or shipped.calibrated.profile != contest.profile.fingerprint:
            raise SystemExit("the schedule was not made from this benchmark's calibration")
        return {e.budget: e.plan for e in shipped.plans if e.budget in contest.budgets}
    schedule = solve(contest.profile, contest.budgets)
    found = refine(contest.profile, schedule, contest.fitted, contest.journal("refined"))
    return {entry.budget: entry.plan for entry in found.plans}


def with_stages(stages: Sequence[Stage], contest: Bench) -> dict[int, Plan]:
    """``solve``, then ``refine`` with these of its stages alone; from the same work."""
    schedule = solve(contest.profile, contest.budgets)
    journal = contest.journal("refined")
    found = refine(contest.profile, schedule, contest.fitted, journal, stages=stages)
    return {entry.budget: entry.plan for entry in found.plans}


def closed_loop(contest: Bench) -> dict[int, Plan]:
    """``solve``'s knots with gains fitted in closed loop; nothing is chosen between."""
    plain = solved(contest, compensate=False)
    return {budget: fitted(contest, plan) for budget, plan in plain.items()}


def fitted(contest: Bench, plan: Plan, order: int = 3, shrinkage: float = 0.1) -> Plan:
    """A plan's knots with gains fitted in closed loop on the calibration samples."""
    prior, rows = prior_gains(plan), range(len(contest.fitted.prompt_index))
    assert prior is not None  # its predictors are hold and adams

    def gains() -> list[tuple[float, ...]]:
        options: dict[str, Any] = {"order": order, "shrinkage": shrinkage}
        return fit(contest.fitted, rows, plan.knots, prior, **options).gains

    known = contest.journal("closed-loop").recall("fit", [str(plan), order, shrinkage], gains)
    return with_gains(plan, [tuple(each) for each in known])


def selected(contest: Bench) -> dict[int, Plan]:
    """The best of :data:`VARIANTS` by replay on calibration samples; nothing is fitted."""
    judge = Judge(contest, contest.fitted, "selection")
    fields = [solved(contest, **options) for options in VARIANTS.values()]
    return {
        budget: max((field[budget] for field in fields), key=lambda plan: judge.mean(plan, budget))
        for budget in contest.budgets
    }


L1: dict[str, Any] = {"planner": "pssp", "metric": "l1", "weighting": "none", "gamma": 4.0}
BARE: dict[str, Any] = {
    "planner": "pssp",
    "predictors": ("adams",),
    "weighting": "none",
    "gamma": 1.0,
}

VARIANTS: dict[str, dict[str, Any]] = {
    "solve": {},
    "solve, but not compensated": {"compensate": False},
    "solve, but pssp": {"planner": "pssp"},
    "solve, but not weighted": {"weighting": "none"},
    "solve, but width": {"weighting": "width"},
    "solve, but γ 1": {"gamma": 1.0},
    "solve, but γ 2": {"gamma": 2.0},
    "solve, but hold as well": {"predictors": ("hold", "adams"), "compensate": True},
    "solve, but cvar": {"statistic": "cvar:0.9"},
    "fitted, order 2": {"predictors": ("fitted",)},
    "fitted, order 3": {"predictors": ("fitted",), "order": 3},
    "fitted, order 3, γ 1": {"predictors": ("fitted",), "order": 3, "gamma": 1.0},
    "fitted, order 3, width": {
        "predictors": ("fitted",),
        "order": 3,
        "weighting": "width",
    },
    "fitted, order 3, cvar": {"predictors": ("fitted",), "order": 3, "statistic": "cvar:0.9"},
}
"""``solve``'s defaults, and one or a few of them changed: its options."""

BARES: dict[str, dict[str, Any]] = {
    "bare: pssp, adams, not weighted, γ 1": BARE,
    "bare, but path": BARE | {"planner": "path"},
    "bare, but width": BARE | {"weighting": "width"},
    "bare, but propagated": BARE | {"weighting": "propagated"},
    "bare, but γ 4": BARE | {"gamma": 4.0},
}

BASELINES: dict[str, Method] = {
    "fewer steps": partial(plain, "euler"),
    "fewer steps, Adams–Bashforth": partial(plain, "textbook"),
    "uniform adams": uniform,
    "paper": partial(solved, predictors=("hold", "jvp"), **L1),
    RELEASED: partial(solved, predictors=("hold", "released"), **L1),
}

OURS: dict[str, Method] = {
    "solve, but not compensated": partial(solved, compensate=False),
    "solve": solved,
    REFINED: refined,
}

ABLATIONS: dict[str, Method] = {
    **{name: partial(solved, **VARIANTS[name]) for name in VARIANTS if name not in OURS},
    "solve + selection": selected,
    "solve + closed loop": closed_loop,
    **{name: partial(solved, **options) for name, options in BARES.items()},
}

WITHOUT: dict[str, Method] = {  # stages of refinement
    "refined, but replays alone": partial(with_stages, ()),
    "refined, but no moves or joint fit": partial(with_stages, STAGES[:1]),
    "refined, but no moves": partial(with_stages, (STAGES[0], STAGES[2])),
    "refined, but no joint fit": partial(with_stages, STAGES[:2]),
}

CHOICES: dict[str, Method] = {
    name: partial(solved, **options) for name, options in VARIANTS.items()
}

METHODS: dict[Role, dict[str, Method]] = {
    "choice": CHOICES,
    "baseline": BASELINES,
    "ours": OURS,
    "ablation": ABLATIONS,
    "stage": WITHOUT,
}


class Judge:
    """Makes samples in any way, each once, and compares them with the full runs."""

    def __init__(self, contest: Bench, samples: Samples, name: str) -> None:
        self._samples = samples
        self._journal = contest.journal(name)
        self._rows = range(len(samples.prompt_index))
        last = samples.full(self._rows, contest.profile.steps)
        own = latent_range([moments(each) for each in last])
        self._range = contest.value_range or own

    def row(self, method: str, way: Way, budget: int) -> Row:
        """The figures of a way; whoever took more or fewer refreshes than B is refused."""
        values, refreshes = self._decibels(way, budget)
        if refreshes != budget:
            raise RuntimeError(f"{method} took {refreshes} refreshes a sample, not {budget}")
        prompts = self._samples.prompt_index.tolist()
        return Row(
            method=method,
            setting=f"B = {budget}",
            steps=len(self._samples.sigmas) - 1,
            budget=budget,
            figures={
                "psnr_latent": Spread.of(values.tolist(), higher=True, groups=prompts),
                "refreshes": Spread.of([refreshes] * len(values), higher=False),
            },
        )

    def mean(self, way: Way, budget: int) -> float:
        """Mean PSNR in dB."""
        return float(self.decibels(way, budget).mean())

    def decibels(self, way: Way, budget: int) -> Any:
        """PSNR of each sample in dB, float64 [S]."""
        return self._decibels(way, budget)[0]

    def _decibels(self, way: Way, budget: int) -> tuple[Any, float]:
        """PSNR of each sample, float64 [S], and the refreshes that each took."""

        def run() -> list[Any]:
            before = self._samples.refreshes
            latents = self._latents(way, budget)
            spent = (self._samples.refreshes - before) / len(self._rows)
            return [final_errors(self._samples, self._rows, latents).tolist(), spent]

        errors, refreshes = self._journal.recall("samples", [str(way), budget], run)
        return np.array(decibels(errors, self._range)), refreshes

    def _latents(self, way: Way, budget: int) -> Tensor:
        match way:
            case "euler":
                return self._samples.plain(self._rows, budget)
            case "textbook":
                return self._samples.textbook(self._rows, budget)
            case Plan():
                return self._samples.replay(self._rows, self._alone(way), budget)

    def _alone(self, plan: Plan) -> Schedule:
        """A schedule of this plan, as the runtime reads it."""
        sigmas = self._samples.sigmas
        grid = Grid(len(sigmas) - 1, sigmas, 0.05)
        return Schedule(None, grid, (plan,))


def compete(contest: Bench, roles: Sequence[Role]) -> Iterator[Row]:
    """Run all methods of these roles, method by method."""
    judge = Judge(contest, contest.heldout, "heldout")
    for role in roles:
        for name, method in METHODS[role].items():
            print(f"{name} …", file=sys.stderr, flush=True)
            for budget, way in method(contest).items():
                yield judge.row(name, way, budget)
