"""``solve``: compile schedules from a profile."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from meancache_plan.cli.noted_commands import given, measured_by, note, noted
from meancache_plan.cli.shared_options import PROFILE
from meancache_plan.plan.planners import planner_help, predictor_help
from meancache_plan.show.terminal.console import display, say


def _wish(help: str, *names: str) -> OptionInfo:
    """An option that says which budgets are wanted."""
    return typer.Option(*names, help=help, rich_help_panel="What you want: exactly one")


def _choice(help: str) -> OptionInfo:
    """An option that chooses how to plan."""
    return typer.Option(help=help, rich_help_panel="How it is planned")


def _grid(help: str) -> OptionInfo:
    """An option that carries the profile over to another grid."""
    return typer.Option(help=help, rich_help_panel="A grid other than the calibrated one")


Budget = Annotated[
    str | None,
    _wish("How many steps may run the denoiser: one number, a list 8,10,13, or a range 8-25."),
]
Speedup = Annotated[
    float | None, _wish("By what factor to reduce the runs of the denoiser, such as 4.")
]
MaxSeconds = Annotated[
    float | None,
    _wish("Seconds that the denoiser may take per sample, on the machine that calibrated."),
]
MinPsnr = Annotated[
    float | None,
    _wish("Mean PSNR of the latents, in dB: gives the smallest budget that should reach it."),
]
Every = Annotated[
    bool,
    _wish(
        "Every budget that is better than all smaller ones, with the quality predicted for each.",
        "--all",
    ),
]

Planner = Annotated[
    str,
    _choice(f"How knots are placed: {planner_help()}."),
]
Predictors = Annotated[
    str | None,
    _choice(
        f"How cached steps are predicted, a list; by planner: {predictor_help()}. By default "
        "adams; with path, fitted for plans that aim at the flow or at a finer run."
    ),
]
Metric = Annotated[
    str,
    _choice("How a prediction's error is measured: rms, or l1 as in the paper (planner pssp)."),
]
Weighting = Annotated[
    str | None,
    _choice(
        "How errors of different steps are weighed: none, width (by an interval's width in σ), "
        "or propagated (by what they do to the final sample; the default where it was measured)."
    ),
]
Statistic = Annotated[
    str,
    _choice(
        "How calibration samples are combined: mean, quantile:0.9, or cvar:0.9, the mean of the "
        "worst tenth."
    ),
]
Gamma = Annotated[
    float, _choice("How strongly large errors are avoided: the power γ that each is raised to.")
]
Order = Annotated[int, _choice("How many past velocities the fitted predictor uses, from 1 to 4.")]
MaxEdge = Annotated[
    int | None, _choice("Longest interval between two runs of the denoiser, in steps.")
]
Compensate = Annotated[
    bool | None,
    _choice(
        "Give plans gains by which each interval makes up for what those before it missed, fitted "
        "on the profile; the default, unless predictors or another order are chosen."
    ),
]

Steps = Annotated[int | None, _grid("Plan for another number of sampler steps.")]
Shift = Annotated[float | None, _grid("Plan for another static shift of the noise levels.")]
Sigmas = Annotated[
    Path | None, _grid("Plan for the noise levels in this text file; excludes --steps and --shift.")
]


def solve(
    context: typer.Context,
    profile: Annotated[Path, typer.Argument(help="The profile that calibrate wrote.")] = Path(
        PROFILE
    ),
    budget: Budget = None,
    speedup: Speedup = None,
    max_seconds: MaxSeconds = None,
    min_psnr: MinPsnr = None,
    every: Every = False,
    planner: Planner = "path",
    predictors: Predictors = None,
    metric: Metric = "rms",
    weighting: Weighting = None,
    statistic: Statistic = "mean",
    gamma: Gamma = 4.0,
    order: Order = 2,
    max_edge: MaxEdge = None,
    compensate: Compensate = None,
    steps: Steps = None,
    shift: Shift = None,
    sigmas: Sigmas = None,
    reliability: Annotated[
        bool,
        typer.Option(
            help="Resample the prompts to estimate how reliable the plans are; takes seconds."
        ),
    ] = True,
    output: Annotated[Path, typer.Option("-o", "--output", help="The schedule to write.")] = Path(
        "schedule.json"
    ),
) -> None:
    """Plan the best schedule for one or more budgets, without the model and without a GPU.

    Say what you want with exactly one of `--budget`, `--speedup`, `--max-seconds`, `--min-psnr`
    and `--all`; with none, you get the budgets of the model's recipe. Where the model is at hand,
    `refine` then makes better plans. The paper's own method is
    `--planner pssp --predictors hold,jvp --metric l1 --weighting none`.

    Example: `meancache-plan solve --budget 16`
    """
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.measure.profile import load_profile
    from meancache_plan.measure.transfer import on_grid
    from meancache_plan.plan import solve as compiler
    from meancache_plan.plan.reliability import with_reliability
    from meancache_plan.plan.wishes import Wish, fulfil, recipe_wish
    from meancache_plan.schedule.artifact import save_schedule
    from meancache_plan.show.terminal.quality_notes import front_table
    from meancache_plan.show.terminal.views import show_schedule

    asked = Wish(
        budget=budget, speedup=speedup, max_seconds=max_seconds, min_psnr=min_psnr, all=every
    )
    measured = on_grid(load_profile(profile), steps=steps, shift=shift, sigmas=sigmas)
    wish = asked if asked.given else recipe_wish(measured)
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
        compensate=compensate,
    )
    check_writable(output, (profile, sigmas))
    schedule, notes = fulfil(wish, measured, plan, max_edge=max_edge)
    if reliability:
        schedule = with_reliability(measured, schedule)
    command = note("solve", given(context) | wish.given)
    save_schedule(noted(schedule, [measured_by(measured)], command), output)
    display((front_table if every else show_schedule)(schedule, seconds=measured.seconds_per_step))
    if measured.settings.transferred_from is not None:
        planned = f"planned for {measured.settings.run_steps} steps by interpolation"
        say(f"{planned}; to be sure, calibrate there")
    if not asked.given:
        say(f"budgets {wish.budget}: those of the recipe, as none were asked for")
    for line in (*notes, f"wrote {output}"):
        say(line)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))
