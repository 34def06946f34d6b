"""The search for one budget's plan: halve the field, fit gains, move knots, fit gains together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple

from meancache_plan.core.predictors import Terms
from meancache_plan.improve.candidates import Candidate
from meancache_plan.improve.closed_loop import (
    Fitted,
    plain_gains,
    prior_gains,
    terms_of,
    with_gains,
)
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.improve.joint_fit import step
from meancache_plan.improve.moves import Knots, Moves
from meancache_plan.improve.trials import Standing, Trials
from meancache_plan.plan.simple_plans import adams_plan
from meancache_runtime.schedule import Plan

RUNGS = (0.25, 0.5, 1.0)
"""Shares of the validation samples that the rounds of successive halving replay."""

SURVIVORS = 4
"""Candidates that reach the last round at least."""

BASELINES = 2
"""Baselines that do."""

FITTED = 3
"""Different knots that are fitted in closed loop then; the best of them are moved."""

MOVES = 20
"""Moves of knots that are tried for a budget."""

QUICK_SAMPLES = 16
"""Fit samples that a quick fit is on, at most: each move of knots has one."""

PREDICTED = 0.5
"""How much what is predicted of a move counts beside its quick fit, which so few samples blur."""

SHRINKAGES = (0.1, 0.01)
"""Those of the closed-loop fits: the second refits whatever leads."""

JOINT_SAMPLES = 32
"""Fit samples that the joint fit is on, at most."""

DAMPINGS = (0.1, 0.01)
"""Those of the joint fit; validation decides."""


Stage = Literal["closed loop", "moves", "joint fit"]
"""What follows the replays of the field, each from what the one before found."""

STAGES: tuple[Stage, ...] = ("closed loop", "moves", "joint fit")


class Entry(NamedTuple):
    """A candidate and how it did: its mean squared errors on the first validation samples."""

    candidate: Candidate
    standing: Standing
    errors: list[float]


@dataclass(slots=True)
class Race:
    """One budget's search.

    Attributes:
        trials: Runs replays.
        fit_rows: Samples to fit on.
        judge_rows: Samples to validate on; no prompt is in both.
        order: Terms of fitted gains.
        moves: Where knots may go.
        stages: Those that it has.
        entries: Everything that was validated, whole or in part.
        fewer: How simply fewer steps did; known once it has run.
        quick: How good quick fits were, of each knots that had one.
    """

    trials: Trials
    fit_rows: Sequence[int]
    judge_rows: Sequence[int]
    order: int
    moves: Moves
    stages: Sequence[Stage] = STAGES
    entries: list[Entry] = field(default_factory=lambda: [])
    fewer: Standing = field(init=False)
    quick: dict[Knots, float] = field(default_factory=lambda: {})

    def run(self, pool: Sequence[Candidate], budget: int) -> Entry:
        """Find the best plan: see :meth:`ranking` and :attr:`beaten`."""
        self.fewer = self.trials.standing(self.trials.plain(budget, self.judge_rows))
        self._halve([candidate for candidate in pool if candidate.baseline], BASELINES)
        self._halve([candidate for candidate in pool if not candidate.baseline], SURVIVORS)
        stages = self.stages if self._fittable() else ()
        if "closed loop" in stages:
            for each in self._fittable()[:FITTED]:
                self._fit(each.candidate.plan, SHRINKAGES[0])
        if "moves" in stages:
            self._move(budget)
        if "closed loop" in stages:
            self._fit(self._fittable()[0].candidate.plan, SHRINKAGES[1])
        if "joint fit" in stages:
            self._join()
        return self.ranking()[0]

    @property
    def decile(self) -> float:
        """The best worst decile of the baselines that were judged whole, and of fewer steps."""
        found = [each.standing.worst_decile for each in self._whole() if each.candidate.baseline]
        return max(*found, self.fewer.worst_decile)

    def ranking(self) -> list[Entry]:
        """Whoever was judged on all validation samples, best first."""
        decile = self.decile
        return sorted(self._whole(), key=lambda each: -each.standing.guarded(decile))

    def _whole(self) -> list[Entry]:
        return [e for e in self.entries if e.standing.samples == len(self.judge_rows)]

    @property
    def beaten(self) -> bool:
        """Whether simply fewer steps do better than the best plan."""
        best, decile = self.ranking()[0].standing, self.decile
        return best.guarded(decile) < self.fewer.guarded(decile)

    def crossed(self, plan: Plan) -> Plan:
        """The plan with gains that were fitted on the judging samples; itself if it has none."""
        gains = prior_gains(plan)
        if gains is None or {*chain(*gains)} == {1.0}:
            return plan
        return with_gains(plan, self._fitted(plan, plain_gains(plan), self.judge_rows).gains)

    def _enter(self, candidate: Candidate, samples: int) -> Entry:
        """Replay a candidate on so many validation samples, less those that it had before."""
        known = [entry for entry in self.entries if entry.candidate is candidate]
        errors = list(known[0].errors) if known else []
        rows = self.judge_rows[len(errors) : samples]
        if rows:
            errors += self.trials.replay(candidate.plan, rows)
        entry = Entry(candidate, self.trials.standing(errors), errors)
        self.entries = [e for e in self.entries if e.candidate is not candidate] + [entry]
        return entry

    def _halve(self, field: list[Candidate], least: int) -> None:
        """Successive halving: each round the better half, or so many, go on to more samples."""
        for share in RUNGS:
            samples = max(1, round(share * len(self.judge_rows)))
            entries = [self._enter(candidate, samples) for candidate in field]
            entries.sort(key=lambda entry: -(entry.standing.mean + entry.standing.worst_decile))
            field = [entry.candidate for entry in entries[: max(least, len(entries) // 2)]]

    def _fittable(self) -> list[Entry]:
        """The best of each knots whose predictors can be fitted, best first."""
        found: dict[tuple[int, ...], Entry] = {}
        for entry in self.ranking():
            if prior_gains(entry.candidate.plan) is not None:
                found.setdefault(entry.candidate.plan.knots, entry)
        return list(found.values())

    def _worth(self, knots: Knots, budget: int) -> float:
        """How good a quick fit of an Adams plan is on its few samples, and what is predicted."""
        if knots not in self.quick:
            plan, rows = adams_plan(knots, budget), evenly(self.fit_rows, QUICK_SAMPLES)
            found = self._fitted(plan, plain_gains(plan), rows)
            self.quick[knots] = self.trials.standing(found.errors).mean
        return self.quick[knots] + PREDICTED * self.moves.predicted(knots)

    def _move(self, budget: int) -> None:
        """Move the leader's knots on from wherever a move helps, the most promising moves first."""
        start = self._fittable()[0].candidate.plan.knots
        knots, tried = start, {start}
        while len(tried) <= MOVES:
            untried = (each for each in self.moves.near(knots) if each not in tried)
            following = next(untried, None)
            if following is None:
                break
            tried.add(following)
            knots = max(knots, following, key=lambda each: self._worth(each, budget))
        if knots != start:
            self._fit(adams_plan(knots, budget), SHRINKAGES[0], ", moved")

    def _fit(self, plan: Plan, shrinkage: float, note: str = "") -> None:
        """Fit a plan's gains in closed loop, and enter it."""
        found = self._fitted(plan, prior_gains(plan) or [], self.fit_rows, shrinkage)
        name = f"closed loop, order {self.order}, shrinkage {shrinkage:g}{note}: {_listed(plan)}"
        self._enter(Candidate(name, with_gains(plan, found.gains)), len(self.judge_rows))

    def _fitted(
        self,
        plan: Plan,
        prior: Sequence[tuple[float, ...]],
        rows: Sequence[int],
        shrinkage: float = SHRINKAGES[0],
    ) -> Fitted:
        """Gains for the plan's knots and rule, in closed loop."""
        order, terms = self.order, _scaled(plan)
        return self.trials.fit(
            plan.knots, prior, rows, order=order, shrinkage=shrinkage, terms=terms
        )

    def _join(self) -> None:
        """Fit all gains of the leader together, for the final sample, and enter the outcome."""
        plan = self._fittable()[0].candidate.plan
        gains = prior_gains(plan)
        assert gains is not None
        rows = evenly(self.fit_rows, JOINT_SAMPLES)
        equations = self.trials.responses(plan.knots, gains, rows, _scaled(plan))
        for damping in DAMPINGS:
            found = with_gains(plan, step(equations, gains, damping))
            name = f"joint fit, damping {damping:g}: {_listed(plan)}"
            self._enter(Candidate(name, found), len(self.judge_rows))


def _scaled(plan: Plan) -> Terms:
    """What the gains of a plan scale that can be fitted."""
    found = terms_of(plan)
    assert found is not None
    return found


def _listed(plan: Plan) -> str:
    return ", ".join(map(str, plan.knots))
