"""``solve``: compile schedules from a profile."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from meancache_plan.cli import planning
from meancache_plan.cli.options import PROFILE
from meancache_plan.cli.refinement import Refinement
from meancache_plan.show.terminal.console import display, resumable, say


def solve(
    profile: Annotated[Path, typer.Argument(help="The profile that calibrate wrote.")] = Path(
        PROFILE
    ),
    budget: planning.Budget = None,
    speedup: planning.Speedup = None,
    max_seconds: planning.MaxSeconds = None,
    min_psnr: planning.MinPsnr = None,
    every: planning.Every = False,
    planner: planning.Planner = "path",
    predictors: planning.Predictors = None,
    metric: planning.Metric = "rms",
    weighting: planning.Weighting = None,
    statistic: planning.Statistic = "mean",
    gamma: planning.Gamma = 4.0,
    order: planning.Order = 2,
    max_edge: planning.MaxEdge = None,
    steps: planning.Steps = None,
    shift: planning.Shift = None,
    sigmas: planning.Sigmas = None,
    refine: planning.Refine = None,
    recipe: planning.RefineRecipe = None,
    prompts: planning.RefinePrompts = None,
    limit: planning.RefineLimit = None,
    batch: planning.RefineBatch = 1,
    device: planning.RefineDevice = None,
    offload: planning.RefineOffload = "none",
    reliability: Annotated[
        bool,
        typer.Option(help="Resample the prompts to say how sure the plans are; takes seconds."),
    ] = True,
    output: Annotated[Path, typer.Option("-o", "--output", help="The schedule to write.")] = Path(
        "schedule.json"
    ),
) -> None:
    """Compile the best schedule for one or more budgets; without `--refine` it needs no GPU.

    Say what you want by exactly one of `--budget`, `--speedup`, `--max-seconds`, `--min-psnr` and
    `--all`; without any, the budgets of the model's recipe are compiled. `--refine MODEL` replays
    many candidates on calibration prompts and writes the best; interrupted, the same command goes
    on where it stopped. The paper's own method is
    `--planner pssp --predictors hold,jvp --metric l1 --weighting none`.

    Example: `meancache-plan solve --budget 16 --refine reference`
    """
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.files.lock import alone
    from meancache_plan.improve.journal import forget
    from meancache_plan.measure.profile import load_profile
    from meancache_plan.measure.transfer import on_grid
    from meancache_plan.plan import solve as compiler
    from meancache_plan.plan.reliability import with_reliability
    from meancache_plan.plan.wishes import Request, fulfil, recipe_request
    from meancache_plan.schedule.artifact import save_schedule
    from meancache_plan.show.terminal.quality import front_table
    from meancache_plan.show.terminal.views import show_schedule

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
    with resumable(), nullcontext() if improve is None else alone(output):
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


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))
