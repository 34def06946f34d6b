"""One sample that follows a schedule."""

from meancache_plan.source.diffusers.pipeline import Pipeline, Sample
from meancache_runtime import ReplayStats, Schedule, attach


def replay(
    pipeline: Pipeline, schedule: Schedule, budget: int, prompt: str, seed: int
) -> tuple[Sample, ReplayStats]:
    """Make one sample with a schedule; return it and what the run did."""
    with attach(pipeline.pipe, schedule, budget=budget) as attachment:
        sample = pipeline.generate(prompt, seed, steps=schedule.grid.steps)
    return sample, attachment.stats
