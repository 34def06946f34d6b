"""Refine plans for all budgets: each is a race, and the winners are written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.core.grid import same
from meancache_plan.errors import BeatenError, InputError
from meancache_plan.files.journal import Journal
from meancache_plan.improve import joint_fit
from meancache_plan.improve.candidates import AS_SOLVED, Candidate, pools
from meancache_plan.improve.closed_loop import prior_gains
from meancache_plan.improve.dealt_samples import spread_rows
from meancache_plan.improve.moves import moves_of
from meancache_plan.improve.race import (
    BASELINES,
    DAMPINGS,
    FIELD,
    FITTED,
    JOINT_SAMPLES,
    MOVES,
    QUICK_SAMPLES,
    RUNGS,
    STAGES,
    SURVIVORS,
    Race,
    Stage,
)
from meancache_plan.improve.trials import Trials
from meancache_plan.measure.calibrate import Progress
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.predict import predict
from meancache_plan.plan.solve import bounded
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.schedule.provenance import (
    Innovation,
    PlanRecord,
    Provenance,
    Pruned,
    Quality,
    Score,
)
from meancache_plan.source.protocols import Ensemble
from meancache_runtime.schedule import Plan
from meancache_runtime.strict_json import MAX_TEXT

ORDER = 3
"""Terms of gains fitted in closed loop."""


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
    journal: Journal | None = None,
    *,
    published: Mapping[str, Schedule] | None = None,
    stages: Sequence[Stage] = STAGES,
    recorded: int | None = None,
    progress: Progress = lambda spent, expected: None,
) -> Schedule:
    """Find knots and gains for every budget of a schedule, and return the best in replays.

    Knots are tried and gains fitted on one half of the ensemble's prompts, and what comes of it is
    judged on the other half, beside what one has without it; candidates that come from the profile
    have seen all of its prompts. The winner is the best of several on these prompts, so what is
    ``validated`` flatters it a little: only held-out prompts tell its quality. With a journal the
    same call goes on where it was interrupted, and gives the same schedule.

    Args:
        profile: What the schedule was solved from.
        schedule: Its plans take part, and its weighting guides the moves of knots.
        ensemble: The samples to replay; calibration's own, never held-out ones.
        journal: Keeps finished work; its settings say which samples these are.
        published: Schedules whose plans take part, by name; those for as many steps.
        stages: What knots and gains are found by; only benchmarks leave some out, and all
            candidates are replayed where there is no closed loop.
        recorded: How many of the full runs were made for it, and count; by default all.
        progress: Told after every replay.

    Raises:
        InputError: The ensemble's grid is not the profile's, it has a single prompt, or the
            journal cannot be written.
        BeatenError: No plan of any budget beats simply fewer steps.
    """
    made = schedule.calibrated
    if made is None or made.profile != profile.fingerprint:
        raise InputError("the schedule was not solved from this profile: solve again")
    _check_grid(profile, ensemble)
    fit_rows, judge_rows = spread_rows(ensemble.prompt_index)
    fields = pools(profile, schedule, published or {}, made.max_edge)
    meter = _Meter(progress, _expected(fields, len(judge_rows), len(fit_rows)))
    trials = Trials(ensemble, journal or Journal(), meter, schedule.grid.replayable())
    moves = moves_of(profile, made.weighting, made.max_edge)
    races: dict[int, Race] = {}
    for budget, field in fields.items():
        races[budget] = Race(trials, fit_rows, judge_rows, ORDER, moves, stages)
        races[budget].run(field, budget)
    taken = profile.settings.finer_steps or profile.settings.run_steps
    done = _rewritten(schedule, made, profile, races)
    progress(meter.expected, meter.expected)
    count = len(ensemble.prompt_index) if recorded is None else recorded
    return _spent(done, count * taken + meter.spent)


def _spent(schedule: Schedule, refreshes: int) -> Schedule:
    """The schedule with so many more refreshes spent on refinement."""
    made = schedule.calibrated
    if made is None or made.effort is None:
        return schedule
    total = made.effort.refinement + refreshes
    effort = made.effort.model_copy(update={"refinement": total})
    provenance = made.model_copy(update={"effort": effort})
    return schedule.model_copy(update={"provenance": provenance})


def _rewritten(
    schedule: Schedule, made: Provenance, profile: Profile, races: Mapping[int, Race]
) -> Schedule:
    """The schedule of the winners, without budgets at which simply fewer steps are better."""
    winners = {budget: race for budget, race in races.items() if not race.beaten}
    if not winners:
        raise BeatenError(
            "no plan beats simply fewer steps at any budget: refine with other budgets, or more "
            "calibration prompts"
        )
    pairs = [_bounded(_plan(budget, race), race) for budget, race in winners.items()]
    plans, told = zip(*pairs, strict=True)
    records = map(_record, plans, told, winners.values(), repeat(profile), repeat(made))
    pruned = (_pruned(budget, race) for budget, race in races.items() if race.beaten)
    provenance = made.model_copy(
        update={
            "plans": tuple(records),
            "pruned": (*made.pruned, *pruned),
            "commands": (),  # which made other plans than these
        }
    )
    entries = tuple(map(PlanEntry.of, plans))
    return schedule.model_copy(update={"plans": entries, "provenance": provenance})


def _plan(budget: int, race: Race) -> Plan:
    """The winner, which may have been planned for another budget."""
    return replace(race.ranking()[0].candidate.plan, budget=budget)


def _pruned(budget: int, race: Race) -> Pruned:
    best, fewer = race.ranking()[0].standing, race.fewer
    reason = f"{budget} plain steps are better: {fewer.mean:.1f} dB against {best.mean:.1f} dB"
    return Pruned(budget=budget, by=budget, reason=reason)


def _bounded(plan: Plan, race: Race) -> tuple[Plan, Innovation]:
    """The plan with bounds of what samples do in replays, with gains fitted on other prompts."""
    plans = (plan, race.judge_rows), (race.crossed(plan), race.fit_rows)
    found = [race.trials.innovations(each, rows) for each, rows in plans]
    prompts = race.trials.ensemble.prompt_index[[*race.judge_rows, *race.fit_rows]]
    return bounded(plan, np.concatenate(found), prompts, replayed=True)


def _record(
    plan: Plan, told: Innovation, race: Race, profile: Profile, made: Provenance
) -> PlanRecord:
    winner, solved = race.ranking()[0], made.record(plan.budget)
    fit = solved.fit if solved and winner.candidate.name == AS_SOLVED else None
    prompts = race.trials.ensemble.prompt_index[list(race.judge_rows)]
    return PlanRecord(
        budget=plan.budget,
        origin=winner.candidate.name[:MAX_TEXT],
        fit=fit,
        innovation=told,
        predicted=predict(profile, plan, fit),
        validated=_validated(race.trials.decibels(winner.errors), prompts),
        candidates=tuple(_scores(race)),
    )


def _scores(race: Race) -> Iterator[Score]:
    """Every candidate's score, the winner first, those judged on few samples last."""
    decile = race.decile
    entries = [(entry.candidate.name[:MAX_TEXT], entry.standing) for entry in race.entries]
    entries.append(("fewer steps", race.fewer))
    for name, found in sorted(entries, key=lambda e: (-e[1].samples, -e[1].guarded(decile))):
        yield Score(
            name=name,
            samples=found.samples,
            psnr_latent=found.mean,
            worst_decile=found.worst_decile,
        )


def _validated(decibels: Sequence[float], prompts: NDArray[np.int64]) -> Quality:
    """Mean PSNR on the validation samples, with the bootstrap interval over prompts."""
    values = np.array(decibels)
    low, high = bootstrap_interval(decibels, prompts.tolist())
    return Quality(psnr_latent=float(values.mean()), low=low, high=high)


def _expected(fields: Mapping[int, Sequence[Candidate]], judged: int, fitted: int) -> int:
    """Refreshes that a refinement takes, nearly: of each budget rounds, quick fits and fits."""
    total = 0.0
    for budget, field in fields.items():
        others = sum(prior_gains(each.plan) is None and not each.baseline for each in field)
        baselines = sum(each.baseline for each in field)
        rounds = 1 + _halved(baselines, BASELINES) + _halved(others, SURVIVORS)
        quick = (FIELD + MOVES) / 2 * min(fitted, QUICK_SAMPLES)  # the other half is shared
        replays = judged * (rounds + FITTED + len(DAMPINGS)) + quick + FITTED * fitted
        responses = joint_fit.refreshes([(1.0,) * min(ORDER, n + 1) for n in range(budget)])
        bounds = 2 * judged + fitted
        total += budget * (replays + bounds) + responses * min(fitted, JOINT_SAMPLES)
    return round(total)


def _halved(candidates: int, least: int) -> float:
    """Replays of all validation samples that successive halving takes."""
    total, before = 0.0, 0.0
    for share in RUNGS:
        total += candidates * (share - before)
        candidates, before = min(candidates, max(least, candidates // 2)), share
    return total


def _check_grid(profile: Profile, ensemble: Ensemble) -> None:
    if not same(ensemble.sigmas, profile.sigmas):
        raise InputError(
            "the model's noise levels are not the profile's: refine with the recipe, size and "
            "steps that it was calibrated with"
        )
