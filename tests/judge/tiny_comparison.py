"""What the tests of comparisons start from: a tiny pipeline, plans made by hand, figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import FluxPipeline

from meancache_plan.judge.contender import Contender
from meancache_plan.judge.figures import FIGURES, INNOVATION
from meancache_plan.judge.findings import Comparison, Evaluation, Row, Spread
from meancache_plan.schedule.artifact import Grid, ModelIdentity, PlanEntry, Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime.predictors import Adams, Hold
from tests.tiny import SIDE, TEXT_LENGTH

STEPS = 8
PROMPT, SEED = "red fox", 3
FULL = Contender("full", "all steps", STEPS)
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


def tiny_pipeline(
    pipe: FluxPipeline, guided: bool = False, steps: int = STEPS, **options: Any
) -> Pipeline:
    """With true CFG by two calls of the denoiser, if ``guided``."""
    pipe.set_progress_bar_config(disable=True)
    guidance: dict[str, Any] = {"guidance_argument": "true_cfg_scale", "negative_prompt": ""}
    recipe = Recipe(
        steps=steps,
        height=SIDE,
        width=SIDE,
        dtype="float32",
        call={"max_sequence_length": TEXT_LENGTH},
        **(guidance | {"guidance": 2.5} if guided else {}),
        **options,
    )
    return Pipeline(pipe, recipe, "tiny")


def spread(values: Sequence[float]) -> Spread:
    """Of these samples; the interval holds all of them, the least is the worst."""
    mean = sum(values) / len(values)
    interval = (min(values), max(values))
    return Spread(mean=mean, interval=interval, worst=min(values), samples=tuple(values))


def row(
    method: str,
    setting: str,
    cost: float,
    quality: list[float],
    memory: float | None = None,
    **others: Any,
) -> Row:
    """A row whose costs are all ``cost`` and whose qualities are all those of its samples."""
    figures = {
        name: spread([cost] * len(quality) if figure.cost else quality)
        for name, figure in FIGURES.items()
        if name not in ("lpips", "memory", INNOVATION)
    }
    if memory is not None:
        figures["memory"] = spread([memory])
    about = {"method": method, "setting": setting, "steps": STEPS, "speedup": STEPS / cost}
    return Row.model_validate(about | {"figures": figures} | others)


MODEL = ModelIdentity(
    id="tiny",
    revision=None,
    fingerprint="sha256:" + "0" * 64,
    pipeline="FluxPipeline",
    scheduler="FlowMatchEulerDiscreteScheduler",
    adapters=(),
)


def comparison(*rows: Row, prompts: int = 2) -> Comparison:
    """Of these rows."""
    return Comparison(**_about(prompts), calls_per_step=1, counted=1, rows=rows)


def evaluation(*rows: Row, prompts: int = 2) -> Evaluation:
    """Of these rows."""
    return Evaluation(**_about(prompts), rows=rows)


def _about(prompts: int) -> dict[str, Any]:
    return {
        "model": MODEL,
        "schedule_sha256": "sha256:" + "0" * 64,
        "steps": STEPS,
        "prompts_sha256": "sha256:" + "0" * 64,
        "prompts": prompts,
        "seeds": (1,),
        "latent_range": 4.0,
        "device": "cpu",
        "versions": {"torch": "2"},
    }
