"""The search for one budget's plan: find knots by quick fits, move them, fit gains for the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple

from meancache_plan.core.predictors import Terms
from meancache_plan.improve.candidates import Candidate
from meancache_plan.improve.closed_loop import (
    Fitted,
    plain,
    plain_gains,
    prior_gains,
    terms_of,
    with_gains,
)
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.improve.joint_fit import step
from meancache_plan.improve.moves import Moves
from meancache_plan.improve.trials import Standing, Trials
from meancache_runtime.schedule import Plan

RUNGS = (0.25, 0.5, 1.0)
"""Shares of the validation samples that the rounds of successive halving replay."""

SURVIVORS = 4
"""Candidates that reach the last round at least."""

BASELINES = 2
"""Baselines that do."""

FIELD = 4
"""Plans whose knots have a quick fit, the most promising; those of the best are moved."""

MOVES = 20
"""Moves of knots that are tried for a budget, at most."""

QUICK_SAMPLES = 16
"""Fit samples that a quick fit is on, at most."""

FITTED = 3
"""Plans whose gains are fitted on all fit samples: the best, and others that are promising."""

PREDICTED = 0.5
"""How much what is predicted of knots counts beside their quick fit, which so few samples blur."""

SHRINKAGE = 0.1
"""That of the closed-loop fits."""

JOINT_SAMPLES = 32
"""Fit samples that the joint fit is on, at most."""

DAMPINGS = (0.1, 0.01)
"""Those of the joint fit; validation decides."""


Stage = Literal["closed loop", "moves", "joint fit"]
"""What gains and knots are found by; without the first there are only replays."""

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
        quick: How quick fits did, of each plan that had one.
    """

    trials: Trials
    fit_rows: Sequence[int]
    judge_rows: Sequence[int]
    order: int
    moves: Moves
    stages: Sequence[Stage] = STAGES
    entries: list[Entry] = field(default_factory=lambda: [])
    fewer: Standing = field(init=False)
    quick: dict[Plan, Standing] = field(default_factory=lambda: {})

    def run(self, pool: Sequence[Candidate], budget: int) -> Entry:
        """Find the best plan: see :meth:`ranking` and :attr:`beaten`."""
        self.fewer = self.trials.standing(self.trials.plain(budget, self.judge_rows))
        fits = "closed loop" in self.stages
        fittable = [each for each in pool if fits and prior_gains(each.plan) is not None]
        self._halve([each for each in pool if each.baseline], BASELINES)
        self._halve([e for e in pool if not e.baseline and e not in fittable], SURVIVORS)
        if fittable:
            self._search(self._promising(fittable))
        return self.ranking()[0]

    @property
    def decile(self) -> float:
        """The best worst decile of fewer steps and of the baselines that were judged whole, but for
        plans that gains were fitted for: so few samples' worst are luck, and a fit's varies most.
        """
        whole = (each for each in self._whole() if each.candidate.baseline)
        found = [e.standing.worst_decile for e in whole if _is_unfitted(e.candidate.plan)]
        return max([*found, self.fewer.worst_decile])

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
        if _is_unfitted(plan):
            return plan
        return with_gains(plan, self._fitted(plan, self.judge_rows).gains)

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

    def _promising(self, field: Sequence[Candidate]) -> list[Plan]:
        """Plain plans: of the best that was replayed, and of those predicted to be best."""
        replayed = [each.candidate for each in self.ranking() if each.candidate in field]
        predicted = sorted(field, key=lambda each: -self.moves.predicted(each.plan.knots))
        plans = (each.plan for each in (*replayed[:1], *predicted))
        return [*dict.fromkeys(plain(each, each.knots) for each in plans)][:FIELD]

    def _search(self, promising: Sequence[Plan]) -> None:
        """Promising plans' knots are tried, and the best moved. Gains are fitted there and before,
        and at others where the worst tenth counts: validation may find those best.
        """
        decile = self.decile
        start = max(promising, key=self._worth)
        best = self._moved(start) if "moves" in self.stages else start
        safest = sorted(promising, key=lambda plan: -self.quick[plan].guarded(decile))
        fits = [
            self._fit(plan, "" if plan in promising else ", moved")
            for plan in [*dict.fromkeys((best, start, *safest))][:FITTED]
        ]
        if "joint fit" in self.stages:
            self._join(max(fits, key=lambda each: each.standing.guarded(decile)).candidate.plan)

    def _worth(self, plan: Plan) -> float:
        """How good a quick fit at a plan's knots is on its few samples, and what is predicted."""
        if plan not in self.quick:
            rows = evenly(self.fit_rows, QUICK_SAMPLES)
            self.quick[plan] = self.trials.standing(self._fitted(plan, rows, hold=True).errors)
        return self.quick[plan].mean + PREDICTED * self.moves.predicted(plan.knots)

    def _moved(self, plan: Plan) -> Plan:
        """Knots are moved on from wherever a move helps, the most promising moves first."""
        tried = {plan.knots}
        while len(tried) <= MOVES:
            untried = (each for each in self.moves.near(plan.knots) if each not in tried)
            knots = next(untried, None)
            if knots is None:
                break
            tried.add(knots)
            plan = max(plan, plain(plan, knots), key=self._worth)
        return plan

    def _fit(self, plan: Plan, note: str) -> Entry:
        """Fit a plan's gains in closed loop, and enter it."""
        found = with_gains(plan, self._fitted(plan, self.fit_rows, hold=True).gains)
        name = f"closed loop, order {self.order}, shrinkage {SHRINKAGE:g}{note}: {_listed(plan)}"
        return self._enter(Candidate(name, found), len(self.judge_rows))

    def _fitted(self, plan: Plan, rows: Sequence[int], *, hold: bool = False) -> Fitted:
        """Gains for the plan's knots and rule, in closed loop."""
        return self.trials.fit(
            plan.knots,
            plain_gains(plan),
            rows,
            order=self.order,
            shrinkage=SHRINKAGE,
            terms=_scaled(plan),
            hold=hold,
        )

    def _join(self, plan: Plan) -> None:
        """Fit all gains of a plan together, for the final sample, and enter the outcome."""
        gains = prior_gains(plan)
        assert gains is not None
        rows = evenly(self.fit_rows, JOINT_SAMPLES)
        equations = self.trials.responses(plan.knots, gains, rows, _scaled(plan))
        for damping in DAMPINGS:
            found = with_gains(plan, step(equations, gains, damping))
            name = f"joint fit, damping {damping:g}: {_listed(plan)}"
            self._enter(Candidate(name, found), len(self.judge_rows))


def _is_unfitted(plan: Plan) -> bool:
    """Whether a plan has no gains, or plain ones."""
    gains = prior_gains(plan)
    return gains is None or {*chain(*gains)} == {1.0}


def _scaled(plan: Plan) -> Terms:
    """What the gains of a plan scale that can be fitted."""
    found = terms_of(plan)
    assert found is not None
    return found


def _listed(plan: Plan) -> str:
    return ", ".join(map(str, plan.knots))
