"""Plans for a model that nobody has calibrated: ``meancache-plan start``, and what else there is.

    python -m benchmarks.start [--model digits]
    python -m benchmarks.start --choose [--model digits]

A plan that was made for no model in particular is worth having if it beats what one has without
any: fewer steps, and evenly spread knots with the same predictor. Beside these stand published
tables carried over from other models, with their own predictor and with Adams–Bashforth at their
knots; and what calibration gives, to say how far below that a starting plan is. Held-out prompts
judge. The rule was chosen by ``--choose``, which judges on calibration prompts and leaves held-out
ones alone: steps' widths in σ and published plans' density to several powers. Finished work is
kept under ``build/start/``; an interrupted run goes on from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import bars
from benchmarks.contest import BASELINES, Bench, Judge, Method, Way, solved
from benchmarks.planners import Setting, contest_of
from benchmarks.standings import means, words
from meancache_plan.core.grid import uniform_knots
from meancache_plan.judge.findings import Row, Spread
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.plan.start import published_schedules, start_plans
from meancache_plan.source.recipe import parse_numbers

BUDGETS = "10,13,17,25"
START, UNIFORM = "start", "uniform adams"

POWERS = ((0, 0.25), (0.25, 0), (0.25, 0.25), (0.5, 0), (0.5, 0.25), (1, 0.25))
"""Of steps' widths and of published plans' density, to choose from."""


def start(contest: Bench, **powers: float) -> Mapping[int, Way]:
    """What ``meancache-plan start`` makes, or would make with other powers."""
    return start_plans(contest.budgets, contest.profile.steps, published_schedules(), **powers)


def shipped(contest: Bench) -> dict[int, Way]:
    """The plans of the schedule that is given: it was refined on calibration prompts alone."""
    assert contest.shipped is not None
    return {e.budget: e.plan for e in contest.shipped.plans if e.budget in contest.budgets}


def table(contest: Bench, model: str, adams: bool) -> dict[int, Way]:
    """A model's published plans; or Adams–Bashforth at their knots."""
    own = [each.plan for each in published_schedules()[model].plans]
    fitting = [plan for plan in own if plan.budget in contest.budgets]
    return {plan.budget: adams_plan(plan.knots) if adams else plan for plan in fitting}


def uniform(contest: Bench) -> dict[int, Way]:
    """Evenly spread knots."""
    steps = contest.profile.steps
    return {budget: adams_plan(uniform_knots(steps, budget)) for budget in contest.budgets}


BASES: dict[str, Method] = {
    **{name: method for name, method in BASELINES.items() if name.startswith("fewer steps")},
    UNIFORM: uniform,
}
"""What one has without any plan."""


def contenders(contest: Bench) -> dict[str, Method]:
    """Everyone, the starting plans first."""
    native: dict[str, Method] = {"solve": solved}
    if contest.shipped is not None:
        native["refined, as shipped"] = shipped
    carried: dict[str, Method] = {
        f"{model}, {'adams' if adams else 'released'}": partial(table, model=model, adams=adams)
        for model in published_schedules()
        for adams in (False, True)
    }
    return {START: start, **BASES, **native, **carried}


def choices() -> dict[str, Method]:
    """What is chosen between, and evenly spread knots."""
    rules: dict[str, Method] = {
        f"width^{width:g} · density^{tilt:g}": partial(start, width=width, tilt=tilt)
        for width, tilt in POWERS
    }
    return {UNIFORM: uniform, **rules}


def judged(contest: Bench, methods: Mapping[str, Method]) -> Iterator[Row]:
    """A row for each method and budget."""
    judge = Judge(contest, contest.heldout, "heldout")
    for name, method in methods.items():
        print(f"{name} …", file=sys.stderr, flush=True)
        for budget, way in method(contest).items():
            yield judge.row(name, way, budget)


def gains(rows: Sequence[Row]) -> dict[str, dict[int, Spread]]:
    """dB that starting plans gain over each other method, sample by sample; by budget."""
    own = {row.budget or 0: _decibels(row) for row in rows if row.method == START}
    found: dict[str, dict[int, Spread]] = {}
    for row in rows:
        if row.method != START:
            pairs = zip(own[row.budget or 0], _decibels(row), strict=True)
            gained = Spread.of([ours - theirs for ours, theirs in pairs], higher=True)
            found.setdefault(row.method, {})[row.budget or 0] = gained
    return found


def _decibels(row: Row) -> tuple[float, ...]:
    return row.figure("psnr_latent").samples


def over_budgets(gained: Mapping[int, Spread]) -> Spread:
    """The mean over budgets of what each sample gains."""
    samples = zip(*(each.samples for each in gained.values()), strict=True)
    return Spread.of([sum(each) / len(each) for each in samples], higher=True)


def gains_table(found: Mapping[str, Mapping[int, Spread]], budgets: Sequence[int]) -> Table:
    """A line a method, with 95 % intervals."""
    shown = Table("start less …, dB", box=box.MARKDOWN)
    for heading in (*(f"B = {budget}" for budget in budgets), "mean"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for method, gained in found.items():
        cells = [gained.get(budget) for budget in budgets] + [over_budgets(gained)]
        shown.add_row(method, *("–" if each is None else words(each, sign="+") for each in cells))
    return shown


def is_worth_it(found: Mapping[str, Mapping[int, Spread]]) -> bool:
    """Say whether starting plans beat all that one has without a plan, beyond chance."""
    least = {name: over_budgets(found[name]).interval[0] for name in BASES}
    told = [
        bars.met(f"gain over {name}, lower end", low, low > 0, "> 0") for name, low in least.items()
    ]
    return all(told)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plans for a model that nobody has calibrated.")
    parser.add_argument("--model", choices=("reference", "digits"), default="reference")
    parser.add_argument("--choose", action="store_true", help="judge on calibration prompts")
    parser.add_argument("--budgets", default=BUDGETS, help="such as 10,17,25")
    parser.add_argument("--calibration", type=int, default=12, help="calibration samples")
    parser.add_argument("--heldout", type=int, help="samples to judge on; 24, or 12 to choose")
    parser.add_argument("--batch", type=int, default=12, help="samples a pipeline call")
    parser.add_argument("--schedule", type=Path, help="judge this refined schedule (reference)")
    parser.add_argument("--folder", type=Path, default=Path("build/start"), help="finished work")
    options = parser.parse_args(arguments)
    options.heldout = options.heldout or (12 if options.choose else 24)
    name = options.model + ("-choose" if options.choose else "")
    options.folder /= f"{name}-{options.calibration}-{options.heldout}"
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options, console = parse(arguments), Console(width=200, highlight=False)
    contest = contest_of(Setting.of(options), parse_numbers(options.budgets, "--budgets"))
    rows = list(judged(contest, choices() if options.choose else contenders(contest)))
    if options.choose:
        console.print(means(rows))
        return
    found = gains(rows)
    console.print(means(rows), gains_table(found, contest.budgets), sep="\n")
    sys.exit(0 if is_worth_it(found) else bars.MISSED)


if __name__ == "__main__":
    main()
