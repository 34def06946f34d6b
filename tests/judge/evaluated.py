"""What the tests of evaluation judge: a tiny pipeline of six steps, and plans made by hand."""

from __future__ import annotations

from typing import Any

from diffusers import FluxPipeline

from meancache_plan.schedule.artifact import Grid, PlanEntry, Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime.predictors import Adams, Hold, Jvp
from tests.judge import tiny_comparison

STEPS = 6
PROMPTS = ("red fox", "tree", "blue")
SEEDS = (3, 4)
HOLD, ADAMS = Hold(), Adams((1.0, 1.0))
SCHEDULE = Schedule(
    model=None,
    grid=Grid(steps=STEPS, sigmas=None, tolerance=0.01),
    generation=None,
    plans=(
        PlanEntry(budget=3, knots=(0, 1, 3), intervals=(HOLD, Jvp(1), ADAMS)),
        PlanEntry(budget=5, knots=(0, 2), intervals=(HOLD, ADAMS)),
        PlanEntry(budget=6, knots=tuple(range(6)), intervals=(HOLD,) * 6),
    ),
    provenance=None,
)


def tiny_pipeline(pipe: FluxPipeline, **options: Any) -> Pipeline:
    return tiny_comparison.tiny_pipeline(pipe, steps=STEPS, **options)
