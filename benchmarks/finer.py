"""What ``calibrate --finer-steps`` gains: plans that aim at a finer run of the same pipeline.

    python -m benchmarks.finer [--finer-steps 200] [--no-cfg]

The embedded pipeline is calibrated twice on the same prompts: on its own 50 steps, and against a
run of 200 that plans replay on these 50. Plans of both, and the 50 steps themselves, are judged on
held-out prompts by the PSNR of their final latents against the finer run, and against the flow
(UniPC with as many steps): nobody planned for that one. Finished work is kept under
``build/finer/``; an interrupted run goes on from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats
from torch import Tensor

from benchmarks.standings import words
from meancache_plan import Profile, calibrate, solve
from meancache_plan.core.gains import fit_gains
from meancache_plan.core.psnr import decibels
from meancache_plan.files.journal import Journal
from meancache_plan.improve.closed_loop import with_gains
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.judge.compare.peers.few_step_solvers import flow
from meancache_plan.judge.findings import Spread
from meancache_plan.plan.solve import every_step
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.show.terminal.console import resumable, watching
from meancache_plan.source.diffusers.load_pipeline import load, quieten
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.recipe import digest, find_recipe, override, parse_numbers, read_prompts

BUDGETS = "5,8,10,13,16,20,25,50"
WAYS = ("plain plan", "finer plan")
JUDGES = ("the finer run", "the flow")

Watch = Callable[[str], Callable[[int, int], None]]
"""Name of a piece of work → what to tell (done, in all)."""

Decibels = NDArray[np.float64]
"""PSNR of each held-out sample."""


def calibrations(
    pipeline: Pipeline, options: argparse.Namespace, watch: Watch
) -> dict[str, Profile]:
    """A profile for each way, of the same prompts and seeds."""
    recipe = pipeline.recipe
    prompts = evenly(read_prompts(recipe.prompts), options.calibration)
    ways = dict(zip(WAYS, (None, options.finer_steps), strict=True))
    return {
        way: calibrate(
            pipeline,
            prompts,
            parse_numbers(recipe.seeds, "seeds"),
            options.folder / f"{way.replace(' ', '-')}.safetensors",
            finer_steps=steps,
            progress=watch(f"calibrating, {way}"),
        )
        for way, steps in ways.items()
    }


class HeldOut:
    """Final latents [S, …] of the held-out samples, each made once.

    Attributes:
        targets: For each judge, where the samples should end.
        steps: Where the pipeline's own steps end.
    """

    def __init__(self, pipeline: Pipeline, options: argparse.Namespace, watch: Watch) -> None:
        recipe = pipeline.recipe
        prompts = evenly(read_prompts(recipe.heldout_prompts), options.heldout)
        seeds = parse_numbers(recipe.heldout_seeds, "seeds")[:1]
        self._pipeline = pipeline
        self._journal = Journal(options.folder / "heldout", work="recording")
        self._samples, self._rows = [*prompts, *seeds], range(len(prompts))
        self._ensemble = PipelineEnsemble(
            pipeline,
            prompts,
            seeds,
            self._journal,
            batch=options.batch,
            finer_steps=options.finer_steps,
            progress=watch("held-out samples, finer run"),
        )
        finer = self._ensemble.full(self._rows, recipe.steps)
        flow = self._kept(["flow", options.finer_steps], partial(self._flow, options.finer_steps))
        self.targets: dict[str, Tensor] = dict(zip(JUDGES, (finer, flow), strict=True))
        plain = partial(self._ensemble.plain, self._rows, recipe.steps)
        self.steps = self._kept(["Euler", recipe.steps], plain)

    def replay(self, schedule: Schedule, budget: int) -> Tensor:
        """A plan's, by the runtime itself; it may do with fewer refreshes than ``budget``."""
        found = schedule.replayable()
        run = partial(self._ensemble.replay, self._rows, found, budget)
        return self._kept([found.plan(budget), found.grid], run)

    def _flow(self, steps: int) -> Tensor:
        peer = flow(self._pipeline, str(self._samples[0]), steps)
        assert peer is not None  # this pipeline's noise levels end at 0
        with peer.enter(self._pipeline):
            return self._ensemble.plain(self._rows, steps)

    def _kept(self, key: Sequence[object], latents: Callable[[], Tensor]) -> Tensor:
        """Latents that were made before by this key, or are now."""
        inputs = [digest(key), self._samples]
        known = self._journal.find("latents", inputs)
        known = known or self._journal.keep("latents", inputs, tensors={"latents": latents()})
        return known.tensors()["latents"]


def last_scaled(profile: Profile, schedule: Schedule) -> tuple[Schedule, float]:
    """All steps as they are, but the last: its velocity times the gain that fits the finer run."""
    every = every_step(profile.steps)
    free = [False] * (profile.steps - 1) + [True]
    gains = fit_gains(profile, every.knots, [1] * profile.steps, "width", free).gains
    plan = with_gains(every, gains)
    alone = {"plans": (PlanEntry.of(plan),), "provenance": None}
    return schedule.model_copy(update=alone), gains[-1][0]


def standing(made: Tensor, target: Tensor) -> str:
    """Mean PSNR, and the 95 % interval of it."""
    return words(Spread.of(decibels(target, made).tolist(), higher=True))


def duel(ours: Decibels, theirs: Decibels) -> str:
    """Gain, with its interval, and wins on the same samples with the sign test's p."""
    gains = ours - theirs
    wins = int((gains > 0).sum())
    p = stats.binomtest(wins, len(gains)).pvalue
    gain = words(Spread.of(gains.tolist(), higher=True), sign="+")
    return f"{gain}; {wins} of {len(gains)}, p {p:.0e}"


def standings(heldout: HeldOut, plans: dict[int, list[Tensor]], judge: str) -> Table:
    """A line a budget: plans of both ways, and what the finer one gains."""
    target = heldout.targets[judge]
    steps = decibels(target, heldout.steps)
    table = Table(f"B, against {judge}", box=box.MARKDOWN)
    for column in (*WAYS, "finer less plain", "finer less all steps"):
        table.add_column(column, no_wrap=True)
    for budget, made in plans.items():
        plain, finer = (decibels(target, latents) for latents in made)
        own = (standing(latents, target) for latents in made)
        table.add_row(str(budget), *own, duel(finer, plain), duel(finer, steps))
    return table


def compete(
    heldout: HeldOut, profiles: dict[str, Profile], options: argparse.Namespace, watch: Watch
) -> tuple[dict[int, list[Tensor]], Tensor, float]:
    """Replay the plans of both ways, and all steps with the last one scaled, by its gain."""
    budgets = parse_numbers(options.budgets, "--budgets")
    predictors = None if options.predictors is None else tuple(options.predictors.split(","))
    schedules = [solve(profiles[way], budgets, predictors=predictors) for way in WAYS]
    told, plans = watch("held-out samples, replayed"), dict[int, list[Tensor]]()
    for done, budget in enumerate(budgets, start=1):
        plans[budget] = [heldout.replay(schedule, budget) for schedule in schedules]
        told(done, len(budgets))
    scaled, gain = last_scaled(profiles[WAYS[1]], schedules[1])
    return plans, heldout.replay(scaled, scaled.grid.steps), gain


def report(heldout: HeldOut, plans: dict[int, list[Tensor]], last: Tensor, gain: float) -> None:
    console = Console(width=200, highlight=False)
    finer, flow = (heldout.targets[judge] for judge in JUDGES)
    console.print(f"the finer run against the flow: {standing(finer, flow)} dB")
    for judge, target in heldout.targets.items():
        console.print(f"all steps against {judge}: {standing(heldout.steps, target)} dB")
        text = f"the same, the last one's velocity times {gain:.3f}"
        console.print(f"{text}: {standing(last, target)} dB")
        console.print(standings(heldout, plans, judge))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plans for a finer run, beside plans for the own.")
    parser.add_argument("--no-cfg", action="store_true", help="without true CFG")
    parser.add_argument("--finer-steps", type=int, default=200, help="steps of the finer run")
    parser.add_argument("--budgets", default=BUDGETS, help="such as 8,10,16")
    parser.add_argument("--predictors", help="in place of solve's own, such as fitted")
    parser.add_argument("--calibration", type=int, default=32, help="calibration samples")
    parser.add_argument("--heldout", type=int, default=32, help="held-out samples")
    parser.add_argument("--batch", type=int, default=16, help="held-out samples a pipeline call")
    parser.add_argument("--folder", type=Path, help="for finished work")
    options = parser.parse_args()
    if options.folder is None:
        sizes = f"{options.finer_steps}-{options.calibration}-{options.heldout}"
        name = "no-cfg" if options.no_cfg else "cfg"
        options.folder = Path("build/finer") / f"{name}-{sizes}"
    return options


def main() -> None:
    options = parse()
    options.folder.mkdir(parents=True, exist_ok=True)
    quieten()
    recipe = find_recipe("reference", None)
    pipeline = load("reference", override(recipe, guidance=1.0) if options.no_cfg else recipe)
    with resumable(), watching() as watch:
        profiles = calibrations(pipeline, options, watch)
        heldout = HeldOut(pipeline, options, watch)
        found = compete(heldout, profiles, options, watch)
    report(heldout, *found)


if __name__ == "__main__":
    main()
