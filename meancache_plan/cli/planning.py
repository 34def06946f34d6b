"""The options of ``solve``: which budgets are wanted, how they are planned, on which grid."""

from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo


def _wish(help: str, *names: str) -> OptionInfo:
    """An option that says which budgets are wanted."""
    return typer.Option(*names, help=help, rich_help_panel="What you want: exactly one")


def _choice(help: str) -> OptionInfo:
    """An option that chooses how to plan."""
    return typer.Option(help=help, rich_help_panel="How it is planned")


def _grid(help: str) -> OptionInfo:
    """An option that carries the profile over to another grid."""
    return typer.Option(help=help, rich_help_panel="Another grid than was calibrated")


def _replay(help: str) -> OptionInfo:
    """An option that is about refining by replay."""
    return typer.Option(help=help, rich_help_panel="Refine by replay")


Budget = Annotated[
    str | None,
    _wish("How many steps may run the denoiser: one number, a list 8,10,13, or a range 8-25."),
]
Speedup = Annotated[
    float | None, _wish("How many times fewer steps shall run the denoiser, such as 4.")
]
MaxSeconds = Annotated[
    float | None,
    _wish("Seconds that the denoiser may take a sample, on the machine that calibrated."),
]
MinPsnr = Annotated[
    float | None,
    _wish("Quality to reach: predicted mean PSNR of the latents in dB, with the smallest budget."),
]
Every = Annotated[
    bool,
    _wish("Every budget that is better than all smaller ones; prints what each gives.", "--all"),
]

Planner = Annotated[
    str,
    _choice("How knots are placed: path scores what replay will do, pssp is the paper's way."),
]
Predictors = Annotated[
    str | None,
    _choice(
        "How cached steps are predicted, a list: hold and adams with either planner, fitted "
        "with path, jvp and released with pssp. By default what suits the planner."
    ),
]
Metric = Annotated[
    str,
    _choice("How a prediction's error is measured: rms, or l1 as in the paper (planner pssp)."),
]
Weighting = Annotated[
    str | None,
    _choice(
        "How errors of different steps are weighed: none, displacement (by how far a step moves), "
        "or propagated (by what they do to the final sample; the default where it was measured)."
    ),
]
Statistic = Annotated[
    str,
    _choice(
        "Which of the calibration samples count: mean, quantile:0.9, or cvar:0.9, the mean of the "
        "worst tenth."
    ),
]
Gamma = Annotated[
    float, _choice("How strongly large errors are avoided: the power γ that each is raised to.")
]
Order = Annotated[int, _choice("How many past velocities the fitted predictor uses, from 1 to 4.")]
MaxEdge = Annotated[
    int | None, _choice("How many steps may pass between two runs of the denoiser, at most.")
]

Steps = Annotated[int | None, _grid("Plan for another number of sampler steps.")]
Shift = Annotated[float | None, _grid("Plan for another static shift of the noise levels.")]
Sigmas = Annotated[
    Path | None, _grid("Plan for the noise levels in this text file, instead of the other two.")
]

Refine = Annotated[
    str | None,
    _replay("The calibrated model: replays candidates on calibration prompts, keeps the best."),
]
RefineRecipe = Annotated[
    str | None, _replay("Recipe that the model was calibrated with: a name or a TOML file.")
]
RefinePrompts = Annotated[str | None, _replay("The prompts that it was calibrated on.")]
RefineLimit = Annotated[
    int | None, _replay("Use so many of the calibration prompts; all by default.")
]
RefineBatch = Annotated[int, _replay("Samples that the pipeline makes at a time.")]
RefineDevice = Annotated[
    str | None, _replay("Device to run on, such as cuda:1 or cpu; by default the best.")
]
RefineOffload = Annotated[
    str, _replay("What waits in main memory to save the GPU's: none, model or sequential.")
]
