"""A schedule, its evaluation, its profile and its pictures, small and known, with hostile texts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from meancache_plan.judge.findings import Evaluation, Row, Shot, Spread
from meancache_plan.judge.sample_folder import SampleFolder, Samples
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_flow import profile_flow
from meancache_plan.schedule.artifact import (
    AdapterIdentity,
    Generation,
    Grid,
    ModelIdentity,
    PlanEntry,
    Schedule,
)
from meancache_plan.schedule.digest import sha256_of
from meancache_plan.schedule.provenance import PlanRecord, Provenance
from meancache_runtime.predictors import Adams, Hold, Jvp

STEPS = 12
SIGMAS = tuple(float(s) for s in np.linspace(1.0, 0.0, STEPS + 1))
BUDGETS = (3, 4, 6)
HOSTILE = "</script><img src=x onerror='window.hacked=1'>&amp;{{script}}\u2028'\"`${1}"
"""Markup, entities, slots, line separators and quotes of every kind."""

HOLD, JVP, ADAMS = Hold(), Jvp(2), Adams((1.0, 0.5))
SCHEDULE = Schedule(
    model=ModelIdentity(
        id=f"emoji{HOSTILE}",
        revision=None,
        fingerprint=None,
        pipeline=f"Flux{HOSTILE}",
        scheduler=None,
        adapters=(AdapterIdentity(name=HOSTILE, digest=None),),
    ),
    grid=Grid(steps=STEPS, sigmas=SIGMAS, tolerance=0.01),
    generation=Generation(
        height=64, width=48, frames=None, guidance={HOSTILE: 2.0, "true_cfg_scale": 3.5},
        dtype="bfloat16",
    ),
    plans=(
        PlanEntry(budget=3, knots=(0, 4, 9), intervals=(HOLD, JVP, ADAMS)),
        PlanEntry(budget=4, knots=(0, 3, 6, 9), intervals=(HOLD, JVP, JVP, ADAMS)),
        PlanEntry(budget=6, knots=(0, 2, 4, 6, 8), intervals=(HOLD, JVP, ADAMS, ADAMS, ADAMS)),
    ),
    provenance=Provenance(
        tool="meancache-plan 0", profile=HOSTILE, transferred_from=HOSTILE, samples=3,
        planner="path", predictors=("adams",), metric="rms", weighting="none", statistic="mean",
        gamma=4.0, order=2, max_edge=STEPS,
        plans=(PlanRecord(budget=3, origin=HOSTILE, stability=(1.0, 0.5, 0.75)),),
    ),
)  # fmt: skip

PSNR = {
    "plan": {3: 31.5, 4: 41.3, 6: 52.0},
    "fewer-steps": {3: 21.0, 4: 24.0, 6: 27.0},
    HOSTILE[:40]: {3: 25.0, 4: 26.0, 6: 28.0},
}
"""Mean PSNR of pictures by method and budget; samples lie 1 dB to both sides."""


class Colours(NamedTuple):
    """Grey levels of a sample's pictures, 0 … 255: of all steps, and of each budget's plan."""

    full: int
    cached: dict[int, int]


PROMPTS = {
    "a red apple": Colours(60, {3: 90, 4: 70, 6: 62}),
    HOSTILE: Colours(160, {3: 200, 4: 180, 6: 165}),
    "a green door": Colours(120, {3: 130, 4: 125, 6: 121}),
}


def quadratic(latents: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.full_like(latents, sigma**2) + 0.1 * latents


def profile() -> Profile:
    noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return profile_flow(quadratic, noise, SIGMAS)


def row(method: str, budget: int, psnr: float, *, seconds: float) -> Row:
    samples = (psnr + 1, psnr - 1)
    figures = {
        name: Spread(
            mean=value,
            interval=(value - 0.5, value + 0.5),
            worst=value - 1,
            samples=samples if name.startswith("psnr") else (value, value),
        )
        for name, value in {"psnr_latent": psnr, "psnr": psnr, "ssim": 0.91, "flip": 0.1}.items()
    }
    for name, value in {"calls": 2.0 * budget, "seconds": seconds}.items():
        figures[name] = Spread.of([value, value], higher=False)
    return Row(
        method=method, setting=f"B = {budget}", steps=STEPS, budget=budget, figures=figures,
        speedup=6 / seconds,
    )  # fmt: skip


def evaluation() -> Evaluation:
    rows = [row(name, b, v, seconds=b / 2) for name, each in PSNR.items() for b, v in each.items()]
    return Evaluation(
        model=SCHEDULE.model or _nobody(),
        schedule_sha256=sha256_of(SCHEDULE),
        steps=STEPS,
        prompts_sha256="sha256:1",
        prompts=2,
        seeds=(0,),
        latent_range=4.0,
        device=HOSTILE,
        versions={HOSTILE: HOSTILE},
        rows=(row("full", STEPS, 120.0, seconds=6.0), *rows),
    )


def _nobody() -> ModelIdentity:
    return ModelIdentity(
        id="m", revision=None, fingerprint=None, pipeline=None, scheduler=None, adapters=()
    )


def samples(folder: Path, frames: int = 1) -> Samples:
    """Pictures of one grey each, 48 × 64 pixels; a video gets lighter by a level a frame."""
    writer = SampleFolder(folder)
    for prompt, (full, cached) in PROMPTS.items():
        writer.keep(_shot(prompt, "full", STEPS, full, 120.0, frames))
        for budget, level in cached.items():
            psnr = 50.0 - abs(level - full)
            writer.keep(_shot(prompt, "plan", budget, level, psnr, frames))
    return writer.finish(evaluation())


def _shot(prompt: str, method: str, budget: int, level: int, psnr: float, count: int) -> Shot:
    levels = (level + np.arange(count, dtype=np.float32)) / 255
    frames = np.tile(levels[:, None, None, None], (1, 64, 48, 3))
    return Shot(prompt, 0, method, budget, 2 * budget, psnr, frames)
