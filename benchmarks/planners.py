"""Planners and predictors beside their baselines, at equal numbers of denoiser refreshes.

    python -m benchmarks.planners --model digits [--ablations | --stages]
    python -m benchmarks.planners --model reference [--no-cfg] [--plot docs/planners.png]
    python -m benchmarks.planners --known
    python -m benchmarks.planners --choose [--model digits]

With ``--known`` the calibration prompts are judged on, with another seed. Defaults are chosen by
``--choose``: it tries `solve`'s choices alone, calibrates on half of the
calibration prompts and judges on the other half, and leaves held-out prompts alone.

All methods plan from one calibration and are judged on held-out samples by the PSNR of the final
latents against the run of all steps. ``digits`` is the closed-form flow of
:mod:`benchmarks.digits`; ``reference`` is the embedded pipeline, on its held-out prompts. Finished
work is kept under ``build/planners/``; an interrupted run goes on from there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from rich.console import Console

from benchmarks import standings
from benchmarks.contest import Bench, Role, compete
from benchmarks.digits import VALUE_RANGE, DigitFlow, DigitSource
from benchmarks.samples import DigitSamples, PipelineSamples
from meancache_plan import calibrate, load_schedule
from meancache_plan.improve.dealt_samples import evenly
from meancache_plan.judge.findings import Row
from meancache_plan.show.comparison_files import to_csv
from meancache_plan.source.diffusers.load_pipeline import load, quieten
from meancache_plan.source.recipe import find_recipe, override, parse_numbers, read_prompts

BUDGETS = "8,10,11,13,16,20,25"
OTHER_SEED = "2000"
"""With which neither calibration nor held-out samples are made."""

HELDOUT, CHOOSING = 100_000, 50_000
"""Number of the first held-out drawing of digits, and of the first that defaults are chosen on."""


def digits_contest(
    source: DigitSource,
    fitted: int,
    heldout: int,
    budgets: tuple[int, ...],
    folder: Path,
    first: int = HELDOUT,
) -> Bench:
    """The closed-form flow, with so many samples; `first` is the number of the first to judge."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [str(number) for number in range(fitted)]
    others = [str(first + number) for number in range(heldout)]
    return Bench(
        profile=calibrate(source, prompts, [0], folder / "profile.safetensors"),
        fitted=DigitSamples(source, prompts, 0),
        heldout=DigitSamples(source, others, 0),
        budgets=budgets,
        folder=folder,
        value_range=VALUE_RANGE,
    )


@dataclass(frozen=True, slots=True)
class Setting:
    """Which samples a contest is of.

    Attributes:
        model: An embedded pipeline, or ``"digits"``.
        folder: For finished work.
        calibration: Calibration samples.
        heldout: Samples to judge on.
        batch: Samples a pipeline call.
        no_cfg: Whether the pipeline goes without true CFG.
        choose: Whether half of the calibration prompts are judged on, and the others planned from.
        known: Whether calibration prompts are judged on, with another seed.
        schedule: A refined schedule that is judged in place of refining.
    """

    model: str
    folder: Path
    calibration: int
    heldout: int
    batch: int = 16
    no_cfg: bool = False
    choose: bool = False
    known: bool = False
    schedule: Path | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """From options of these names; what a command has no option for is the default."""
        names = (each.name for each in fields(cls) if hasattr(options, each.name))
        return cls(**{name: getattr(options, name) for name in names})


def contest_of(setting: Setting, budgets: tuple[int, ...]) -> Bench:
    """The contest on these samples, at these budgets."""
    if setting.model != "digits":
        return _pipeline_contest(setting, budgets)
    source = DigitSource(DigitFlow.of_digits())
    first = CHOOSING if setting.choose else HELDOUT
    sizes = setting.calibration, setting.heldout
    return digits_contest(source, *sizes, budgets, setting.folder, first)


def usual_contest(options: argparse.Namespace, budgets: tuple[int, ...]) -> Bench:
    """With 96 calibration and 64 held-out samples of ``--model``, for other benchmarks."""
    folder = options.folder or Path("build/planners") / f"{options.model}-96-64"
    return contest_of(Setting(options.model, folder, 96, 64, options.batch), budgets)


def _pipeline_contest(setting: Setting, budgets: tuple[int, ...]) -> Bench:
    """An embedded pipeline, with its recipe's prompts."""
    recipe = find_recipe(setting.model, None)
    if setting.no_cfg:
        recipe = override(recipe, guidance=1.0)
    quieten()
    pipeline = load(setting.model, recipe)
    folder, batch = setting.folder, setting.batch
    folder.mkdir(parents=True, exist_ok=True)
    known = read_prompts(recipe.prompts)
    unseen = known[1::2] if setting.choose else read_prompts(recipe.heldout_prompts)
    drawn = recipe.heldout_seeds
    if setting.known:
        unseen, drawn = known, OTHER_SEED
    fitted = evenly(known[::2] if setting.choose else known, setting.calibration)
    others = evenly(unseen, setting.heldout)
    branches = 1 if setting.no_cfg else 2

    def samples(name: str, prompts: Sequence[str], seeds: str) -> PipelineSamples:
        numbers, kept = parse_numbers(seeds, "seeds"), folder / name
        return PipelineSamples(pipeline, prompts, numbers, kept, batch=batch, branches=branches)

    seeds, profile = parse_numbers(recipe.seeds, "seeds"), folder / "profile.safetensors"
    return Bench(
        profile=calibrate(pipeline, fitted, seeds, profile, batch=batch),
        fitted=samples("calibration", fitted, recipe.seeds),
        heldout=samples("heldout", others, drawn),
        budgets=budgets,
        folder=folder,
        shipped=None if setting.schedule is None else load_schedule(setting.schedule),
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Planners and predictors beside their baselines.")
    parser.add_argument("--model", choices=("reference", "digits"), default="reference")
    parser.add_argument("--no-cfg", action="store_true", help="reference without true CFG")
    parser.add_argument("--choose", action="store_true", help="judge on calibration prompts")
    parser.add_argument("--known", action="store_true", help="judge on these with another seed")
    parser.add_argument("--budgets", default=BUDGETS, help="such as 8,10,16")
    parser.add_argument("--ablations", action="store_true", help="change one choice at a time")
    parser.add_argument("--stages", action="store_true", help="leave out stages of refine")
    parser.add_argument("--calibration", type=int, default=64, help="calibration samples")
    parser.add_argument("--heldout", type=int, default=64, help="held-out samples")
    parser.add_argument("--batch", type=int, default=16, help="samples a pipeline call")
    parser.add_argument("--schedule", type=Path, help="judge this refined schedule (reference)")
    parser.add_argument("--folder", type=Path, help="for finished work")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.folder is None:
        name = options.model + ("-no-cfg" if options.no_cfg else "")
        name += "-choose" if options.choose else "-known" if options.known else ""
        sizes = f"{options.calibration}-{options.heldout}"
        options.folder = Path("build/planners") / f"{name}-{sizes}"
    return options


def report(rows: Sequence[Row], options: argparse.Namespace) -> None:
    console = Console(width=200)
    console.print(standings.means(rows), standings.details(rows), sep="\n")
    met = list(standings.targets(rows, options.model == "digits"))
    for target in met:
        console.print(str(target), highlight=False)
    if options.json:
        result = {
            "model": options.model,
            "no_cfg": options.no_cfg,
            "calibration": options.calibration,
            "rows": [row.model_dump(mode="json") for row in rows],
            "targets": [target._asdict() for target in met],
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.csv:
        options.csv.write_text(to_csv(rows), encoding="utf-8")
    if options.plot:
        title = options.model + (", no CFG" if options.no_cfg else "")
        standings.plot(rows, options.plot, f"{title}, {rows[0].samples} held-out samples")


def main() -> None:
    options = parse()
    contest = contest_of(Setting.of(options), parse_numbers(options.budgets, "--budgets"))
    roles: list[Role] = ["baseline", "choice" if options.choose else "ours"]
    if options.ablations:
        roles += ["ablation", "stage"]
    elif options.stages:
        roles.append("stage")
    report(list(compete(contest, roles)), options)


if __name__ == "__main__":
    main()
