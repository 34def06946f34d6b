"""Plans beside fewer steps, other solvers and other caches, on the embedded pipeline.

    python -m benchmarks.compare [--only cfg|no-cfg] [--prompts 12] [--docs docs]

Runs the whole field of ``meancache-plan compare`` on held-out prompts with true CFG and without
it, and prints the comparisons at equal cost as tables. With CFG the plans
are those of the shipped schedule; without it they are calibrated, solved and refined here
(``--plain``: not refined, which saves a quarter of an hour). Rivals are the paper's planner and
predictor, and the released scripts' replay, both planned from the same calibration, and plans that
aim at the flow in place of the sampler's 50 steps (``calibrate --finer-steps 200`` on 32
prompts, not refined). Finished work is kept under ``build/``: an interrupted run goes on from it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.planners import BUDGETS, Setting, contest_of
from benchmarks.standings import words
from meancache_plan import calibrate, load_schedule
from meancache_plan.files.journal import beside
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.improve.refine import refine
from meancache_plan.judge.compare.equal_cost import Cost, Match, losses, matches
from meancache_plan.judge.compare.peers.plan_peers import baselines
from meancache_plan.judge.compare.run_comparison import compare
from meancache_plan.judge.figures import FIGURES
from meancache_plan.judge.findings import Comparison, Row
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.show.comparison_files import to_csv
from meancache_plan.show.images.comparison_chart import plot_comparison
from meancache_plan.show.terminal.comparison_tables import WORDS, failures, grid_of, memory_words
from meancache_plan.show.terminal.console import watching
from meancache_plan.source.diffusers.load_pipeline import load, quieten
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override, parse_numbers, read_prompts

SHIPPED = Path("schedules/reference/50-steps.json")
FINER, TOWARDS = 200, "plan to the flow"
"""Steps of the finer run that some plans aim at, and the name of their rows."""

TABLES: tuple[tuple[Cost, str, bool], ...] = (
    ("refreshes", "psnr_latent", True),
    ("relative_seconds", "psnr_latent", False),
    ("whole_refreshes", "psnr_latent", False),
    ("refreshes", "flip", False),
    ("refreshes", "psnr_flow", False),
)
"""What is to be equal, the figure that is compared, and whether with intervals."""


def schedules(guided: bool, refined: bool) -> tuple[Schedule, dict[str, Schedule]]:
    """The schedule to judge, and its rivals from the same calibration."""
    name = "reference-96-64" if guided else "reference-no-cfg-96-64"
    setting = Setting("reference", Path("build/planners") / name, 96, 64, no_cfg=not guided)
    budgets = parse_numbers(BUDGETS, "budgets")
    contest = contest_of(setting, budgets)
    profile = contest.profile
    rivals = baselines(profile, budgets)
    if guided:
        return load_schedule(SHIPPED), rivals
    own = solve(profile, budgets)
    if refined:
        own = refine(profile, own, contest.fitted, contest.journal("refined"))
    return own, rivals


def towards_the_flow(pipeline: Pipeline, file: Path) -> Schedule:
    """Plans that aim at a run of :data:`FINER` steps."""
    prompts = evenly(read_prompts(pipeline.recipe.prompts), 32)
    seeds = parse_numbers(pipeline.recipe.seeds, "seeds")
    with watching() as watch:
        told = watch("calibrating towards the flow")
        profile = calibrate(
            pipeline, prompts, seeds, file, finer_steps=FINER, batch=16, progress=told
        )
    return solve(profile, parse_numbers(BUDGETS, "budgets"))


def shoot_out(guided: bool, prompts: int, refined: bool) -> Comparison:
    """The comparison with or without true CFG; samples of the same comparison are found again."""
    folder = Path("build/compare")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{'cfg' if guided else 'no-cfg'}-{prompts}{'' if guided or refined else '-plain'}"
    file = folder / f"{name}.json"
    own, rivals = schedules(guided, refined)
    recipe = find_recipe("reference", None)
    quieten()
    pipeline = load("reference", recipe if guided else override(recipe, guidance=1.0))
    rivals[TOWARDS] = towards_the_flow(pipeline, folder / f"{name}.flow.profile.safetensors")
    with watching() as watch:
        found = compare(
            pipeline,
            own,
            evenly(read_prompts(recipe.heldout_prompts), prompts),
            parse_numbers(recipe.heldout_seeds, "seeds"),
            read_prompts(recipe.prompts),
            rivals=rivals,
            folder=beside(file),
            progress=watch(name),
        )
    file.write_text(found.to_json(), encoding="utf-8")
    file.with_suffix(".csv").write_text(to_csv(found.rows), encoding="utf-8")
    return found


def markdown(comparison: Comparison, cost: Cost, quality: str, intervals: bool) -> Iterator[str]:
    """One table: a line a peer, a column a budget; in bold who is better than the plan."""
    plans, peers = grid_of(matches(comparison, cost, quality))
    yield f"At equal {WORDS[cost]}: {quality}"
    yield ""
    yield "| best setting of | " + " | ".join(f"B = {row.budget}" for row in plans) + " |"
    yield "| --- |" + " --- |" * len(plans)
    yield "| plan | " + " | ".join(value(row, quality, intervals) for row in plans) + " |"
    for peer, found in peers.items():
        yield f"| {peer} | " + " | ".join(cell(match, quality, intervals) for match in found) + " |"
    yield ""


def cell(match: Match, quality: str, intervals: bool) -> str:
    if match.best is None:
        return "–"
    text = value(match.best, quality, intervals)
    return f"**{text}**" if match.lost else text


def value(row: Row, quality: str, intervals: bool) -> str:
    found, digits = row.figure(quality), FIGURES[quality].digits
    return words(found, digits) if intervals else f"{found.mean:.{digits}f}"


def report(comparison: Comparison, name: str, docs: Path) -> None:
    print(f"\n## {name}: {comparison.prompts} prompts, {comparison.device}\n")
    for cost, quality, intervals in TABLES:
        found = matches(comparison, cost, quality)
        print("\n".join(markdown(comparison, cost, quality, intervals)))
        for match in losses(found):
            assert match.best is not None
            print(
                f"lost: {match.peer} ({match.best.setting}) at B = {match.plan.budget} by "
                f"{-match.gain:.3f}, interval {match.interval[0]:.3f} to {match.interval[1]:.3f}"
            )
    own = comparison.rows[0].figures.get("psnr_flow")
    if own is not None:
        print(f"the full run against the flow itself: {own.mean:.1f} dB")
    print(memory_words(comparison))
    print("\n".join(failures(comparison)))
    plot_comparison(comparison, docs / f"compare-{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Plans beside everything else, at equal cost.")
    parser.add_argument("--only", choices=("cfg", "no-cfg"), help="one of the two")
    parser.add_argument("--prompts", type=int, default=12, help="held-out prompts")
    parser.add_argument("--plain", action="store_true", help="without CFG: do not refine")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where charts go")
    options = parser.parse_args()
    for name in ("cfg", "no-cfg") if options.only is None else (options.only,):
        found = shoot_out(name == "cfg", options.prompts, not options.plain)
        report(found, name, options.docs)


if __name__ == "__main__":
    main()
