"""What is shown in these tests, and how it is read back."""

from __future__ import annotations

import numpy as np
import torch
from rich.console import Console, RenderableType

from meancache_plan.core.psnr import CEILING
from meancache_plan.judge.findings import Evaluation, Row, Spread
from meancache_plan.schedule.artifact import (
    Grid,
    Measured,
    ModelIdentity,
    PlanEntry,
    Schedule,
)
from meancache_runtime.predictors import Adams, Hold, Jvp
from tests.show.drawn import shots

STEPS = 12
SIGMAS = tuple(float(s) for s in np.linspace(1.0, 0.0, STEPS + 1))
HOLD, JVP, ADAMS = Hold(), Jvp(2), Adams((1.0, 1.0))
SCHEDULE = Schedule(
    model=ModelIdentity(
        id="emoji \x1b[31mred $\\frac$",
        revision=None,
        fingerprint=None,
        pipeline="FluxPipeline",
        scheduler=None,
        adapters=(),
    ),
    grid=Grid(steps=STEPS, sigmas=SIGMAS, tolerance=0.01),
    generation=None,
    plans=(
        PlanEntry(budget=3, knots=(0, 4, 9), intervals=(HOLD, JVP, ADAMS), cost=0.5),
        PlanEntry(
            budget=4,
            knots=(0, 4, 8, 10),
            intervals=(HOLD, JVP, JVP, ADAMS),
            measured=Measured(
                psnr_latent=31.25, psnr=28.0, ssim=0.9, speedup=2.5, samples=8, prompts="p"
            ),
        ),
    ),
    provenance=None,
)


def quadratic(latents: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.full_like(latents, sigma**2) + 0.1 * latents


def row(method: str, budget: int, psnr: float) -> Row:
    quality = {"psnr_latent": psnr, "psnr": psnr - 2, "ssim": 0.91, "flip": 0.1}
    figures = quality | {"calls": float(budget), "seconds": 1.5}
    return Row(
        method=method, setting=f"B = {budget}", steps=STEPS, budget=budget, speedup=2.0,
        figures={name: Spread.of([value], higher=True) for name, value in figures.items()},
    )  # fmt: skip


EVALUATION = Evaluation(
    model=ModelIdentity(
        id="m", revision=None, fingerprint=None, pipeline=None, scheduler=None, adapters=()
    ),
    schedule_sha256="sha256:0",
    steps=STEPS,
    prompts_sha256="sha256:1",
    prompts=2,
    seeds=(0,),
    latent_range=4.0,
    device="cpu",
    versions={},
    rows=(
        row("full", 12, CEILING),
        row("plan", 3, 35.5),
        row("uniform-hold", 3, 27.3),
        row("uniform-adams", 3, 33.1),
        row("fewer-steps", 3, 26.4),
        row("plan", 12, CEILING),
    ),
    shots=shots(),
)


def printed(view: RenderableType, width: int = 80) -> str:
    """What a terminal of this width shows."""
    console = Console(width=width, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def in_one_line(view: RenderableType) -> str:
    """As printed at 80 columns, with folded lines joined."""
    return " ".join(printed(view).split())
