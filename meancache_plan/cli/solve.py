"""``solve``: compile schedules from a profile."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from meancache_plan.cli.options import PROFILE
from meancache_plan.cli.refinement import Refinement
from meancache_plan.console import display, resumable, say


def _wish(help: str, *names: str) -> OptionInfo:
    """An option that says which budgets are wanted."""
    return typer.Option(*names, help=help, rich_help_panel="What you want: exactly one")


def _choice(help: str) -> OptionInfo:
    """An option that chooses how to plan."""
    return typer.Option(help=help, rich_help_panel="How it is planned")


def _replay(help: str) -> OptionInfo:
    """An option that is about refining by replay."""
    return typer.Option(help=help, rich_help_panel="Refine by replay")


def _grid(help: str) -> OptionInfo:
    """An option that carries the profile over to another grid."""
    return typer.Option(help=help, rich_help_panel="Another grid than was calibrated")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


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
        str | None,
        _choice("A list: hold, adams; path: calibrated; pssp: jvp, released; best for the run."),
    ] = None,
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
    `--all`; without any, the budgets of the model's recipe are compiled. `--refine MODEL` replays
    many candidates on calibration prompts and writes the best; interrupted, the same command goes
    on where it stopped. The paper's own method is
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
    from meancache_plan.requests import Request, fulfil, recipe_request

    wishes = budget, speedup, max_seconds, min_psnr, every
    asked = wishes != (None, None, None, None, False)
    request = Request(*wishes) if asked else None
    refinement = Refinement(refine, recipe, prompts, limit, batch, device, offload)
    refinement.check_grid(shift, sigmas)
    measured = on_grid(load_profile(profile), steps=steps, shift=shift, sigmas=sigmas)
    request = request or recipe_request(measured, recipe)
    plan = partial(
        compiler.solve,
        measured,
        planner=planner,
        predictors=_names(predictors),
        metric=metric,
        weighting=weighting,
        statistic=statistic,
        gamma=gamma,
        order=order,
        max_edge=max_edge,
    )
    check_writable(output)
    improve = refinement.improver(measured, output)
    with resumable():
        answer = fulfil(request, measured, plan, improve=improve, max_edge=max_edge)
    schedule = with_reliability(measured, answer.schedule) if reliability else answer.schedule
    save_schedule(schedule, output)
    if improve is not None:
        forget(output)
    display((front_table if every else show_schedule)(schedule))
    if measured.settings.transferred_from is not None:
        say(f"planned for {measured.steps} steps by interpolation: calibrate there to be sure")
    if not asked:
        say(f"budgets {request.budget}: those of the recipe, as nothing else was asked for")
    for line in (*answer.notes, f"wrote {output}"):
        say(line)
