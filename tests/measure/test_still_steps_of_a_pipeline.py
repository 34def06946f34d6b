"""A pipeline whose grid ends with a step of no length, from calibration to replay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from meancache_plan.files.journal import Journal
from meancache_plan.improve.closed_loop import with_gains
from meancache_plan.improve.trials import Trials
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.simple_plans import hold_plan
from meancache_plan.plan.solve import solve
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.recipe import Recipe
from meancache_runtime import attach
from tests.tiny import SIDE, TEXT_LENGTH, tiny_flux

PROMPTS = ("red fox", "tree")
STEPS = 6


class ToZero(FlowMatchEulerDiscreteScheduler):
    """Its last step starts at 0 already, as that of Z-Image did before diffusers 0.39."""

    def set_timesteps(self, *_: Any, sigmas: Any, **options: Any) -> None:
        super().set_timesteps(sigmas=np.linspace(1, 0.0, len(sigmas)), **options)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    recipe = Recipe(
        steps=STEPS,
        height=SIDE,
        width=SIDE,
        guidance=1.0,
        dtype="float32",
        call={"max_sequence_length": TEXT_LENGTH},
    )
    pipe = tiny_flux()
    pipe.scheduler = ToZero(shift=3.0)
    return Pipeline(pipe, recipe, "tiny")


def final(pipeline: Pipeline) -> Tensor:
    return pipeline.final_latents(PROMPTS[:1], [0])


@pytest.fixture(scope="module")
def profile(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return calibrate(pipeline, PROMPTS, [0], tmp_path_factory.mktemp("still") / "profile")


def test_a_calibration_counts_the_step_and_measures_the_others(profile: Profile) -> None:
    settings = profile.settings
    assert (profile.steps, settings.run_steps, settings.calls) == (5, STEPS, (1,) * STEPS)
    assert profile.has_propagation


def test_a_knot_at_every_other_step_gives_the_plain_run(
    pipeline: Pipeline, profile: Profile
) -> None:
    plain = final(pipeline)
    with attach(pipeline.pipe, solve(profile, [5]), budget=5) as attachment:
        assert torch.equal(final(pipeline), plain)
    assert (attachment.stats.refreshes, attachment.stats.cached_steps) == (5, 1)


def test_gains_fitted_on_its_runs_bring_its_replays_nearer_to_them(
    pipeline: Pipeline, profile: Profile
) -> None:
    ensemble = PipelineEnsemble(pipeline, PROMPTS, [0], Journal())
    grid, knots = solve(profile, [3]).grid.replayable(), (0, 1, 3)
    trials, rows = Trials(ensemble, Journal(), lambda _: None, grid), range(len(PROMPTS))
    found = trials.fit(knots, [(1.0,)] * 3, rows, order=2, shrinkage=1e-3)
    held = hold_plan(knots)
    errors = [trials.replay(plan, rows) for plan in (with_gains(held, found.gains), held)]
    assert sum(errors[0]) < sum(errors[1])
