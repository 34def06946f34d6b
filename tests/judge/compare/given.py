"""What the tests of comparisons start from: a tiny pipeline, plans made by hand, figures."""

from __future__ import annotations

from typing import Any

from diffusers import FluxPipeline

from meancache_plan.judge.compare.peer import Peer
from meancache_plan.judge.compare.result import Comparison, Figures, PerSample, Row, Spread
from meancache_plan.schedule.artifact import Grid, ModelIdentity, PlanEntry, Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime.schedule import Adams, Hold
from tests.tiny import SIDE, TEXT_LENGTH

STEPS = 8
PROMPT, SEED = "red fox", 3
FULL = Peer("full", "all steps", STEPS)
HOLD, ADAMS = Hold(), Adams((1.0, 1.0))

SCHEDULE = Schedule(
    model=None,
    grid=Grid(steps=STEPS, sigmas=None, tolerance=0.01),
    generation=None,
    plans=(
        PlanEntry(budget=3, knots=(0, 1, 4), intervals=(HOLD, HOLD, ADAMS)),
        PlanEntry(budget=5, knots=(0, 1, 2, 4, 6), intervals=(HOLD, *(ADAMS,) * 4)),
    ),
    provenance=None,
)


def tiny_pipeline(pipe: FluxPipeline, guided: bool = False, **options: Any) -> Pipeline:
    """With true CFG by two calls of the denoiser, if ``guided``."""
    pipe.set_progress_bar_config(disable=True)
    guidance: dict[str, Any] = {"guidance_argument": "true_cfg_scale", "negative_prompt": ""}
    recipe = Recipe(
        steps=STEPS,
        height=SIDE,
        width=SIDE,
        dtype="float32",
        call={"max_sequence_length": TEXT_LENGTH},
        **(guidance | {"guidance": 2.5} if guided else {}),
        **options,
    )
    return Pipeline(pipe, recipe, "tiny")


def row(
    peer: str,
    setting: str,
    cost: float,
    quality: list[float],
    memory: float | None = None,
    **others: Any,
) -> Row:
    """A row whose costs are all ``cost`` and whose qualities are all those of its samples."""

    def spread(values: list[float]) -> Spread:
        mean = sum(values) / len(values)
        return Spread(mean=mean, interval=(min(values), max(values)), worst=min(values))

    qualities = ("psnr_latent", "psnr_flow", "psnr", "ssim", "flip")
    costs = ("refreshes", "whole_refreshes", "relative_seconds", "seconds", "calls")
    return Row(
        peer=peer,
        setting=setting,
        steps=STEPS,
        figures=Figures.model_validate(
            {name: spread(quality) for name in qualities}
            | {name: spread([cost]) for name in costs}
            | {"lpips": None, "memory": None if memory is None else spread([memory])}
        ),
        per_sample=PerSample.model_validate(
            dict.fromkeys(qualities, quality)
            | {"relative_seconds": [cost] * len(quality), "lpips": None}
        ),
        **others,
    )


def comparison(*rows: Row, prompts: int = 2) -> Comparison:
    """Of these rows."""
    model = ModelIdentity(
        id="tiny",
        revision=None,
        fingerprint="sha256:" + "0" * 64,
        pipeline="FluxPipeline",
        scheduler="FlowMatchEulerDiscreteScheduler",
        adapters=(),
    )
    return Comparison(
        model=model,
        schedule_sha256="sha256:" + "0" * 64,
        steps=STEPS,
        calls_per_step=1,
        prompts_sha256="sha256:" + "0" * 64,
        prompts=prompts,
        seeds=(1,),
        counted=1,
        latent_range=4.0,
        device="cpu",
        versions={"torch": "2"},
        rows=rows,
    )
