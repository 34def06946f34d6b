"""The ``meancache-plan`` command: parse, call one function, print."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from meancache_plan import catalog
from meancache_plan.console import complain, display, resumable, say, watching
from meancache_plan.errors import InputError, MeanCacheError

PROFILE = "meancache.profile.safetensors"
"""Where ``calibrate`` writes and ``solve`` reads, unless told otherwise."""

SHEET_ROWS = 6
"""Prompts that a sheet of sample pictures shows."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Compile cache schedules for flow-matching pipelines: calibrate, solve, replay, prove.",
)

Model = Annotated[
    str, typer.Argument(help="A diffusers pipeline: directory, hub id, or 'reference'.")
]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="Recipe name or TOML file.")]
Prompts = Annotated[str | None, typer.Option(help="Text file, one prompt a line, or a list.")]
Seeds = Annotated[str | None, typer.Option(help="Seeds: 0-4, or 1,5,9.")]
Device = Annotated[str | None, typer.Option(help="Such as cuda:1 or cpu; by default the best.")]
Offload = Annotated[str, typer.Option(help="none, model or sequential: trade time for memory.")]
ScheduleFile = Annotated[Path, typer.Option("--schedule", "-s", help="The schedule to replay.")]
Guidance = Annotated[float | None, typer.Option(help="Guidance, in the recipe's argument.")]
DTypeName = Annotated[str | None, typer.Option("--dtype", help="float32, bfloat16 or float16.")]
Pixels = Annotated[int | None, typer.Option(help="Pixels (--frames: frames of a video).")]


def _wish(help: str, *names: str) -> Any:
    """An option of solve that says which budgets are wanted."""
    return typer.Option(*names, help=help, rich_help_panel="What you want: exactly one")


def _choice(help: str) -> Any:
    """An option of solve that chooses how to plan."""
    return typer.Option(help=help, rich_help_panel="How it is planned")


def _replay(help: str) -> Any:
    """An option of solve that is about refining by replay."""
    return typer.Option(help=help, rich_help_panel="Refine by replay")


def _grid(help: str) -> Any:
    """An option of solve that carries the profile over to another grid."""
    return typer.Option(help=help, rich_help_panel="Another grid than was calibrated")


@app.command()
def calibrate(
    model: Model = catalog.REFERENCE,
    recipe: RecipeName = None,
    prompts: Prompts = None,
    seeds: Seeds = None,
    steps: Annotated[int | None, typer.Option(help="Sampler steps T.")] = None,
    height: Pixels = None,
    width: Pixels = None,
    frames: Pixels = None,
    guidance: Guidance = None,
    device: Device = None,
    dtype: DTypeName = None,
    offload: Offload = "none",
    shard: Annotated[str, typer.Option(help="Part i/n of the samples, for job arrays.")] = "1/1",
    max_edge: Annotated[int | None, typer.Option(help="Longest interval measured; T.")] = None,
    sensitivity: Annotated[
        bool, typer.Option(help="Measure how errors propagate; at most 25 % more work.")
    ] = True,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help=f"{PROFILE}, or with its shard's number.")
    ] = None,
) -> None:
    """Measure full-step runs of a pipeline into a profile.

    Interrupted at any moment, the same command goes on where it stopped.

    Example: `meancache-plan calibrate black-forest-labs/FLUX.1-dev -o flux.profile.safetensors`
    """
    from meancache_plan.calibrate import Shard, calibrate
    from meancache_plan.recipe import parse_numbers, read_prompts

    part = Shard.parse(shard)
    output = output or Path(part.suffixed(PROFILE))
    options = {"steps": steps, "height": height, "width": width, "frames": frames}
    options |= {"guidance": guidance, "dtype": dtype, "prompts": prompts, "seeds": seeds}
    source = _load(model, recipe, options, device, offload)
    with resumable(), watching() as watch:
        profile = calibrate(
            source,
            read_prompts(source.recipe.prompts),
            parse_numbers(source.recipe.seeds, "--seeds"),
            output,
            shard=part,
            max_edge=max_edge,
            sensitivity=sensitivity,
            progress=watch("calibrating"),
        )
    say(f"{output}: {profile.samples} samples, {profile.steps} steps, {profile.fingerprint[:19]}…")


@app.command()
def merge(
    profiles: Annotated[list[Path], typer.Argument(help="The shards' profiles.")],
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("meancache.profile.safetensors"),
) -> None:
    """Join the profiles of a calibration's shards.

    Example: `meancache-plan merge part1.safetensors part2.safetensors -o all.safetensors`
    """
    from meancache_plan.merge import merge_profiles
    from meancache_plan.profile import load_profile, save_profile

    merged = merge_profiles([load_profile(path) for path in profiles])
    save_profile(merged, output)
    missing = merged.settings.samples_total - merged.samples
    note = f"; {missing} of {merged.settings.samples_total} samples are missing" if missing else ""
    say(f"{output}: {merged.samples} samples of {len(profiles)} profiles{note}")


@app.command()
def solve(
    profile: Annotated[Path, typer.Argument(help="What calibrate wrote.")] = Path(PROFILE),
    budget: Annotated[str | None, _wish("Denoiser refreshes: 16, or 8,10,13, or 8-25.")] = None,
    speedup: Annotated[float | None, _wish("So many times fewer refreshes than steps.")] = None,
    max_seconds: Annotated[
        float | None, _wish("Refreshes that take so long at most, where it was calibrated.")
    ] = None,
    min_psnr: Annotated[
        float | None, _wish("Smallest budget predicted to reach this mean latent PSNR, in dB.")
    ] = None,
    every: Annotated[
        bool, _wish("Every budget that none smaller equals; prints what each gives.", "--all")
    ] = False,
    planner: Annotated[
        str, _choice("path: scores what replay will do; pssp: the paper's.")
    ] = "path",
    predictors: Annotated[
        str, _choice("A list: hold, adams; path: calibrated; pssp: jvp, released.")
    ] = "adams",
    metric: Annotated[str, _choice("Deviation of an interval: rms, or l1 (pssp).")] = "rms",
    weighting: Annotated[
        str | None, _choice("none, displacement or propagated; the last if it was measured.")
    ] = None,
    statistic: Annotated[
        str, _choice("Over the samples: mean, quantile:0.9 or cvar:0.9 (of the worst tenth).")
    ] = "mean",
    gamma: Annotated[float, _choice("Peak suppression γ of Σ cost^γ.")] = 4.0,
    order: Annotated[int, _choice("Terms of calibrated, 1 to 4.")] = 2,
    max_edge: Annotated[int | None, _choice("Longest interval, in steps.")] = None,
    steps: Annotated[int | None, _grid("Another number of steps than was calibrated.")] = None,
    shift: Annotated[float | None, _grid("Another static shift; 3 is usual.")] = None,
    sigmas: Annotated[
        Path | None, _grid("A file with all noise levels; instead of the other two.")
    ] = None,
    refine: Annotated[
        str | None, _replay("The calibrated model: replay candidates, fit gains in closed loop.")
    ] = None,
    recipe: Annotated[str | None, _replay("Recipe name or TOML file.")] = None,
    prompts: Annotated[str | None, _replay("The prompts that it was calibrated on.")] = None,
    limit: Annotated[int | None, _replay("Use so many calibration prompts; all.")] = None,
    batch: Annotated[int, _replay("Samples a pipeline call.")] = 1,
    device: Annotated[str | None, _replay("Such as cuda:1 or cpu; the best.")] = None,
    offload: Annotated[str, _replay("none, model or sequential.")] = "none",
    reliability: Annotated[
        bool, typer.Option(help="Ask resampled prompts how sure the plans are; takes seconds.")
    ] = True,
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("schedule.json"),
) -> None:
    """Compile the best schedule for one or more budgets; without `--refine` it needs no GPU.

    Say what you want by exactly one of `--budget`, `--speedup`, `--max-seconds`, `--min-psnr` and
    `--all`. `--refine MODEL` replays many candidates on calibration prompts and writes the best;
    interrupted, the same command goes on where it stopped. The paper's own method is
    `--planner pssp --predictors hold,jvp --metric l1 --weighting none`.

    Example: `meancache-plan solve --budget 16 --refine reference`
    """
    from meancache_plan import compiler
    from meancache_plan.artifact import save_schedule
    from meancache_plan.files import check_writable
    from meancache_plan.profile import load_profile
    from meancache_plan.refine.journal import forget
    from meancache_plan.regrid import on_grid
    from meancache_plan.reliability import with_reliability
    from meancache_plan.report.quality_view import front_table
    from meancache_plan.report.views import show_schedule
    from meancache_plan.requests import Request, fulfil

    request = Request(budget, speedup, max_seconds, min_psnr, every)
    needless = recipe or prompts or limit or device or batch != 1 or offload != "none"
    if refine is None and needless:
        raise InputError(
            "--recipe, --prompts, --limit, --batch, --device and --offload need --refine MODEL"
        )
    if refine is not None and (shift is not None or sigmas is not None):
        raise InputError("--refine runs the model on its own grid: leave out --shift and --sigmas")
    measured = on_grid(load_profile(profile), steps=steps, shift=shift, sigmas=sigmas)
    plan = partial(
        compiler.solve,
        measured,
        planner=planner,
        predictors=tuple(name.strip() for name in predictors.split(",")),
        metric=metric,
        weighting=weighting,
        statistic=statistic,
        gamma=gamma,
        order=order,
        max_edge=max_edge,
    )
    check_writable(output)
    improve = None
    if refine is not None:
        source = partial(_load, refine, recipe, {"prompts": prompts}, device, offload)
        improve = _improver(measured, output, source, limit, batch)
    with resumable():
        answer = fulfil(request, measured, plan, improve=improve, max_edge=max_edge)
    schedule = with_reliability(measured, answer.schedule) if reliability else answer.schedule
    save_schedule(schedule, output)
    if refine is not None:
        forget(output)
    display((front_table if every else show_schedule)(schedule))
    if measured.settings.transferred_from is not None:
        say(f"planned for {measured.steps} steps by interpolation: calibrate there to be sure")
    for line in (*answer.notes, f"wrote {output}"):
        say(line)


@app.command()
def import_table(
    file: Annotated[Path, typer.Argument(help="JSON: fresh_steps and edge_span by budget.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A folder; with --model a file.")],
    model: Annotated[
        str | None, typer.Option(help="Hub id: only its table, or the name of a bare table.")
    ] = None,
) -> None:
    """Make schedules of tables as MeanCache's authors publish them.

    Without `--model` every model's schedule is written, as FOLDER/name/50-steps.json.

    Example: `meancache-plan import-table schedules/published.json -o schedules`
    """
    from meancache_plan.artifact import save_schedule
    from meancache_plan.files import check_writable
    from meancache_plan.tables import load_tables, save_tables, to_schedule

    tables = load_tables(file, model)
    if model is None:
        written = save_tables(tables, output)
    else:
        check_writable(output)
        save_schedule(to_schedule(model, tables[model]), output)
        written = (output,)
    for path, (name, table) in zip(written, tables.items(), strict=True):
        budgets = ", ".join(sorted(table.budgets, key=int))
        say(f"{path}: {name}, {table.steps} steps, budgets {budgets}")


@app.command()
def evaluate(
    model: Model = catalog.REFERENCE,
    schedule: ScheduleFile = Path("schedule.json"),
    recipe: RecipeName = None,
    prompts: Prompts = None,
    seeds: Seeds = None,
    budget: Annotated[str | None, typer.Option(help="Budgets to evaluate; all by default.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N prompts.")] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another schedule, for rows of its own.")
    ] = None,
    device: Device = None,
    offload: Offload = "none",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw quality against calls.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write sample pictures.")] = None,
    lpips: Annotated[bool, typer.Option("--lpips", help="LPIPS too; needs its weights.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Note it in the schedule.")] = False,
) -> None:
    """Replay a schedule on held-out prompts beside what one would use instead.

    Example: `meancache-plan evaluate --schedule schedule.json --json figures.json`
    """
    from meancache_plan.artifact import load_schedule, save_schedule
    from meancache_plan.evaluate import judge
    from meancache_plan.files import check_writable
    from meancache_plan.recipe import parse_numbers, read_prompts
    from meancache_plan.report.pictures import check_output
    from meancache_plan.report.views import evaluation_table, write_evaluation

    for picture in filter(None, (plot, sheet)):
        check_output(picture)
    for file in filter(None, (json_file, schedule if record else None)):
        check_writable(file)
    plan = load_schedule(schedule)
    budgets = None if budget is None else parse_numbers(budget, "--budget")
    options = {"heldout_prompts": prompts, "heldout_seeds": seeds}
    source = _load(model, recipe, options, device, offload, plan)
    with watching() as watch:
        result = judge.evaluate(
            source,
            plan,
            read_prompts(source.recipe.heldout_prompts)[:limit],
            parse_numbers(source.recipe.heldout_seeds, "--seeds"),
            budgets=budgets,
            rivals={path.stem: load_schedule(path) for path in against or []},
            lpips=lpips,
            shots=SHEET_ROWS if sheet else 0,
            progress=watch("evaluating"),
        )
    display(evaluation_table(result))
    write_evaluation(result, json_file=json_file, plot=plot, sheet=sheet)
    if record:
        save_schedule(judge.with_measured(plan, result), schedule)


@app.command()
def generate(
    model: Model = catalog.REFERENCE,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to show.")] = "",
    schedule: ScheduleFile = Path("schedule.json"),
    budget: Annotated[int | None, typer.Option(help="Which plan; the largest.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    recipe: RecipeName = None,
    device: Device = None,
    offload: Offload = "none",
    compare: Annotated[bool, typer.Option("--compare", help="Full and cached, labelled.")] = False,
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("out.png"),
) -> None:
    """Generate one sample with a schedule.

    Example: `meancache-plan generate --prompt "a red apple" --compare -o out.png`
    """
    from meancache_plan.artifact import load_schedule
    from meancache_plan.evaluate.judge import replay
    from meancache_plan.report import pictures

    if not prompt:
        raise InputError('--prompt is missing: say what to show, such as --prompt "a red apple"')
    pictures.check_output(output)
    plan = load_schedule(schedule)
    chosen = plan.plans[-1].budget if budget is None else budget
    source = _load(model, recipe, {}, device, offload, plan)
    cached, stats = replay(source, plan.replayable(), chosen, prompt, seed)
    if compare:
        full = source.generate(prompt, seed)
        labels = f"full, {plan.grid.steps} steps", f"plan, {stats.refreshes} refreshes"
        pictures.side_by_side(full.frames, cached.frames, labels, output)
    else:
        pictures.save_frames(cached.frames, output)
    say(f"{output}: {stats.denoiser_calls} denoiser calls, {stats.cached_steps} cached steps")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A profile or a schedule.")],
    plot: Annotated[Path | None, typer.Option(help="Draw it into this PNG.")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Draw a schedule's plan over this profile's deviations.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Which plan to draw.")] = None,
) -> None:
    """Print a profile or a schedule as a person wants it.

    Example: `meancache-plan show schedule.json --plot timeline.png`
    """
    from meancache_plan.report import views

    display(views.show(file, plot=plot, profile=profile, budget=budget))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: bad input ends with one message and exit code 2."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    try:
        app(arguments)
    except MeanCacheError as error:
        complain(str(error))
        sys.exit(2)


def _improver(
    profile: Any, output: Path, source: Callable[[Any], Any], limit: int | None, batch: int
) -> Callable[[Any], Any]:
    """schedule → the schedule refined with the pipeline of ``source``, which is loaded once."""
    from meancache_plan.refine.pipeline import refine_with

    pipelines: list[Any] = []

    def improve(schedule: Any) -> Any:
        if not pipelines:
            pipelines.append(source(schedule))
        with watching() as watch:
            return refine_with(
                pipelines[0], profile, schedule, output, limit=limit, batch=batch, watch=watch
            )

    return improve


def _load(
    model: str,
    recipe_name: str | None,
    options: dict[str, Any],
    device: str | None,
    offload: str,
    schedule: Any = None,
) -> Any:
    """Load a pipeline by its recipe, the given options, and the schedule's own settings."""
    from meancache_plan.recipe import find_recipe, follow, override

    recipe = override(find_recipe(model, recipe_name), **options)
    if schedule is not None:
        recipe = follow(recipe, schedule)
    with Console(stderr=True).status(f"loading {model}"):
        from meancache_plan.adapters.diffusers import load, quieten

        quieten()
        return load(model, recipe, device=device, offload=offload)
