"""Refine plans for all budgets: the field is replayed, and the winner is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from meancache_plan.arcs import line_graph
from meancache_plan.artifact import Plan, PlanRecord, Pruned, Quality, Schedule, Score
from meancache_plan.errors import InputError
from meancache_plan.evaluate import metrics
from meancache_plan.objective import Objective
from meancache_plan.profile import Profile
from meancache_plan.quality import predict
from meancache_plan.refine.ensemble import Ensemble, spread_rows
from meancache_plan.refine.journal import Journal
from meancache_plan.refine.pool import pools
from meancache_plan.refine.search import Race
from meancache_plan.refine.trials import Trials
from meancache_plan.version import __version__

ORDER = 3
"""Terms of gains fitted in closed loop."""

MOVES = 10
"""Moves of knots that are tried for a budget: those of the least predicted cost."""

Progress = Callable[[int, int], None]
"""Called with (denoiser refreshes spent, refreshes expected in all)."""


@dataclass(slots=True)
class _Meter:
    """Counts refreshes towards an expected total."""

    progress: Progress
    expected: int
    spent: int = 0

    def __call__(self, refreshes: int) -> None:
        self.spent += refreshes
        self.progress(min(self.spent, self.expected), self.expected)


def refine(
    profile: Profile,
    schedule: Schedule,
    ensemble: Ensemble,
    path: Path,
    *,
    published: Mapping[str, Schedule] | None = None,
    progress: Progress = lambda spent, expected: None,
) -> Schedule:
    """Replay many candidates for every budget of a schedule, and return the schedule of the best.

    Gains are fitted on one half of the ensemble's prompts and everything is judged on the other
    half. Results are kept in ``PATH.refine/``: the same call goes on where it was interrupted,
    and gives the same schedule.

    Args:
        profile: What the schedule was solved from.
        schedule: Its plans take part, and its objective guides the moves of knots.
        ensemble: The samples to replay; calibration's own, never held-out ones.
        path: The file that the schedule will be written to; not written here.
        published: Schedules whose plans take part, by name.
        progress: Told after every replay.

    Raises:
        InputError: The ensemble's grid is not the profile's, it has a single prompt, the folder
            belongs to another refinement, or no plan of any budget beats simply fewer steps.
    """
    made = schedule.provenance
    if made is None or made.profile != profile.fingerprint:
        raise InputError("the schedule was not solved from this profile: solve again")
    _check_grid(profile, ensemble)
    fit_rows, judge_rows = spread_rows(ensemble.prompt_index)
    settings = {
        "tool": __version__,
        "profile": profile.fingerprint,
        "prompts": ensemble.prompt_index.tolist(),
        "rows": [fit_rows, judge_rows],
    }
    journal = Journal(path, settings)
    objective = _objective(made.model_dump())
    budgets = list(schedule.budgets)
    fields = pools(profile, (made.planner, objective), budgets, published or {})
    meter = _Meter(progress, _expected(fields, len(judge_rows), len(fit_rows)))
    trials = Trials(ensemble, journal, meter)
    found: dict[int, tuple[Plan, PlanRecord]] = {}
    pruned: list[Pruned] = []
    for budget in budgets:
        race = Race(trials, fit_rows, judge_rows, ORDER, _neighbours(profile, objective))
        winner = race.run(fields[budget], budget)
        decile = race.decile
        if race.fewer and winner.standing.guarded(decile) <= race.fewer.guarded(decile):
            reason = f"{budget} plain steps are better: {race.fewer.mean:.1f} dB"
            pruned.append(Pruned(budget=budget, by=budget, reason=reason))
            continue
        errors = trials.replay(winner.candidate.plan, judge_rows)
        plan = winner.candidate.plan.model_copy(update={"budget": budget})
        prompts = ensemble.prompt_index[judge_rows]
        record = PlanRecord(
            budget=budget,
            origin=winner.candidate.name[:1000],
            predicted=predict(profile, plan),
            validated=_validated(trials.decibels(errors), prompts),
            candidates=tuple(_scores(race)),
        )
        found[budget] = plan, record
    progress(meter.expected, meter.expected)
    return _rewritten(schedule, found, pruned)


def _rewritten(
    schedule: Schedule, found: dict[int, tuple[Plan, PlanRecord]], pruned: Sequence[Pruned]
) -> Schedule:
    made = schedule.provenance
    if not found or made is None:
        raise InputError(
            "no plan beats simply fewer steps at any budget: refine with other budgets, or more "
            "calibration prompts"
        )
    provenance = made.model_copy(
        update={
            "planner": "refine",
            "plans": tuple(record for _, record in found.values()),
            "pruned": (*made.pruned, *pruned),
        }
    )
    plans = tuple(plan for plan, _ in found.values())
    return schedule.model_copy(update={"plans": plans, "provenance": provenance})


def _scores(race: Race) -> Iterator[Score]:
    """Every candidate's score, best first among those judged on most samples."""
    entries = sorted(race.entries, key=lambda e: (-e.standing.samples, -e.standing.mean))
    for candidate, standing in entries:
        yield Score(
            name=candidate.name[:1000],
            samples=standing.samples,
            psnr_latent=standing.mean,
            worst_decile=standing.worst_decile,
        )
    if race.fewer is not None:
        yield Score(
            name="fewer steps",
            samples=race.fewer.samples,
            psnr_latent=race.fewer.mean,
            worst_decile=race.fewer.worst_decile,
        )


def _validated(decibels: Sequence[float], prompts: Any) -> Quality:
    """Mean PSNR on the validation samples, with the bootstrap interval over prompts."""
    values = np.array(decibels)
    by_prompt = [float(values[prompts == prompt].mean()) for prompt in np.unique(prompts)]
    low, high = metrics.bootstrap_interval(by_prompt)
    return Quality(psnr_latent=float(values.mean()), low=low, high=high)


def _neighbours(
    profile: Profile, objective: Objective
) -> Callable[[tuple[int, ...]], list[tuple[int, ...]]]:
    """(knots) → the ``MOVES`` cheapest of all plans with one knot moved by one or two steps."""
    plain = Objective(
        ("hold", "adams"),
        weighting=objective.weighting,
        gamma=2.0,
        max_edge=objective.max_edge,
    )
    graph, _ = line_graph(profile, plain)

    def cost(knots: tuple[int, ...]) -> float:
        ends = (*knots, profile.steps)
        arcs = zip(ends, ends[1:], ends[2:], strict=False)
        return float(graph.first[ends[1]] + sum(graph.arcs[arc] for arc in arcs))

    def near(knots: tuple[int, ...]) -> list[tuple[int, ...]]:
        moved = [
            (*knots[:i], knots[i] + by, *knots[i + 1 :])
            for i in range(1, len(knots))
            for by in (-2, -1, 1, 2)
        ]
        ends = [(each, (*each, profile.steps)) for each in moved]
        legal = [k for k, e in ends if all(a < b for a, b in pairwise(e))]
        return sorted(legal, key=lambda k: (cost(k), k))[:MOVES]

    return near


def _objective(made: dict[str, Any]) -> Objective:
    names = ("metric", "weighting", "statistic", "gamma", "order", "max_edge")
    return Objective(tuple(made["predictors"]), **{name: made[name] for name in names})


def _expected(fields: Mapping[int, Sequence[object]], judged: int, fitted: int) -> int:
    """Refreshes that a refinement takes, nearly: rounds, fits and moves."""
    rounds = sum(
        budget * judged * (len(field) * 0.25 + len(field) * 0.125 + len(field) * 0.125 + 6)
        for budget, field in fields.items()
    )
    fits = sum(budget * (fitted + judged) * 8 for budget in fields)
    moves = sum(budget * fitted / 3 * (MOVES + 1) for budget in fields)
    return max(1, round(rounds + fits + moves))


def _check_grid(profile: Profile, ensemble: Ensemble) -> None:
    if len(ensemble.sigmas) != len(profile.sigmas) or any(
        abs(a - b) > 1e-6 for a, b in zip(ensemble.sigmas, profile.sigmas, strict=True)
    ):
        raise InputError(
            "the model's noise levels are not the profile's: refine with the recipe, size and "
            "steps that it was calibrated with"
        )
