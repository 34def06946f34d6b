"""The search for one budget's plan: halve the field, fit in closed loop, move knots, choose."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from meancache_plan.improve.candidates import Candidate
from meancache_plan.improve.closed_loop import prior_gains, with_gains
from meancache_plan.improve.trials import Standing, Trials
from meancache_plan.plan.simple_plans import adams_plan
from meancache_runtime.schedule import Plan

RUNGS = (0.25, 0.5, 1.0)
"""Shares of the validation samples that the rounds of successive halving replay."""

SURVIVORS = 4
"""Candidates that reach the last round at least."""

SHRINKAGES = (0.1, 0.01)
"""Those of the closed-loop fits; validation decides."""

FITTED = 3
"""Different knots that are fitted in closed loop."""

MOVE_SHARE = 3
"""Moves of knots are tried on one fit sample in so many."""


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
        neighbours: (knots) → knots moved a little, the most promising first.
        entries: Everything that was validated, whole or in part.
        fewer: How simply fewer steps did; known once it has run.
    """

    trials: Trials
    fit_rows: Sequence[int]
    judge_rows: Sequence[int]
    order: int
    neighbours: Callable[[tuple[int, ...]], Iterable[tuple[int, ...]]]
    entries: list[Entry] = field(default_factory=lambda: [])
    fewer: Standing = field(init=False)

    def run(self, pool: Sequence[Candidate], budget: int) -> Entry:
        """Find the best plan: see :meth:`ranking` and :attr:`beaten`."""
        self.fewer = self.trials.standing(self.trials.plain(budget, self.judge_rows))
        for candidate in pool:
            if candidate.baseline:
                self._enter(candidate, len(self.judge_rows))
        self._halve([candidate for candidate in pool if not candidate.baseline])
        for plan in self._best_knots(FITTED):
            self._fit(plan)
        self._move(budget)
        return self.ranking()[0]

    @property
    def decile(self) -> float:
        """The best worst decile of all baselines and of fewer steps."""
        found = [entry.standing.worst_decile for entry in self.entries if entry.candidate.baseline]
        return max(*found, self.fewer.worst_decile)

    def ranking(self) -> list[Entry]:
        """Whoever was judged on all validation samples, best first."""
        whole = [e for e in self.entries if e.standing.samples == len(self.judge_rows)]
        return sorted(whole, key=lambda e: -e.standing.guarded(self.decile))

    @property
    def beaten(self) -> bool:
        """Whether simply fewer steps do better than the best plan."""
        best, decile = self.ranking()[0].standing, self.decile
        return best.guarded(decile) < self.fewer.guarded(decile)

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

    def _halve(self, field: list[Candidate]) -> None:
        """Successive halving: each round the better half goes on to more samples."""
        for share in RUNGS:
            samples = max(1, round(share * len(self.judge_rows)))
            entries = [self._enter(candidate, samples) for candidate in field]
            entries.sort(key=lambda entry: -(entry.standing.mean + entry.standing.worst_decile))
            field = [entry.candidate for entry in entries[: max(SURVIVORS, len(entries) // 2)]]

    def _best_knots(self, count: int) -> list[Plan]:
        """The best plans of different knots whose predictors can be fitted."""
        found: dict[tuple[int, ...], Plan] = {}
        for entry in self.ranking():
            if prior_gains(entry.candidate.plan) is not None:
                found.setdefault(entry.candidate.plan.knots, entry.candidate.plan)
        return list(found.values())[:count]

    def _fit(self, plan: Plan, note: str = "") -> None:
        """Fit a plan's gains in closed loop, and enter each fit."""
        prior = prior_gains(plan)
        assert prior is not None
        for shrinkage in SHRINKAGES:
            found = self.trials.fit(
                plan.knots,
                prior,
                self.fit_rows,
                order=self.order,
                shrinkage=shrinkage,
            )
            knots = ", ".join(map(str, plan.knots))
            name = f"closed loop, order {self.order}, shrinkage {shrinkage:g}{note}: {knots}"
            self._enter(Candidate(name, with_gains(plan, found.gains)), len(self.judge_rows))

    def _move(self, budget: int) -> None:
        """Move the winner's knots as long as that helps on fit samples; fit where they end."""
        start = self.ranking()[0].candidate.plan
        if prior_gains(start) is None:
            return
        rows = self.fit_rows[::MOVE_SHARE]
        knots, best = start.knots, self._moved(start.knots, budget, rows)
        for proposal in self.neighbours(start.knots):
            # Moves are proposed from the start, and kept one by one.
            merged = tuple(
                new if new != old else now
                for new, old, now in zip(proposal, start.knots, knots, strict=True)
            )
            if merged == knots or any(a >= b for a, b in pairwise(merged)):
                continue
            score = self._moved(merged, budget, rows)
            if score > best:
                knots, best = merged, score
        if knots != start.knots:
            self._fit(adams_plan(knots, budget), ", moved")

    def _moved(self, knots: tuple[int, ...], budget: int, rows: Sequence[int]) -> float:
        prior = prior_gains(adams_plan(knots, budget))
        assert prior is not None
        found = self.trials.fit(knots, prior, rows, order=self.order, shrinkage=SHRINKAGES[0])
        return self.trials.standing(found.errors).guarded(self.decile)
