"""Plans for a finer run in a real pipeline: the embedded one, calibrated with it and without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from meancache_plan import solve
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override, read_prompts
from meancache_runtime import attach

STEPS, FINER, BUDGET = 16, 64, 12
SEED = 1000


def final(pipeline: Pipeline, prompts: Sequence[str], steps: int = STEPS) -> Tensor:
    """Final latents [n, …] of a batched run of the pipeline as it is."""
    return pipeline.run(prompts, [SEED] * len(prompts), steps=steps, output_type="latent").images


def errors(found: Tensor, expected: Tensor) -> NDArray[np.float64]:
    """Mean squared error of each sample, in log10."""
    return torch.log10((found - expected).double().square().flatten(1).mean(dim=1)).numpy()


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    recipe = override(find_recipe(catalog.REFERENCE, None), steps=STEPS, guidance=1.0)
    return load(catalog.REFERENCE, recipe, device="cpu")


def test_on_held_out_prompts_a_plan_for_the_finer_run_ends_nearer_to_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """Than a plan for the pipeline's own steps does, and than these."""
    prompts = read_prompts(pipeline.recipe.prompts)[:16]
    held = read_prompts(pipeline.recipe.heldout_prompts)[:24]
    expected, found = final(pipeline, held, FINER), dict[int | None, NDArray[np.float64]]()
    for steps in (None, FINER):
        path = tmp_path / f"{steps}"
        profile = calibrate(
            pipeline,
            prompts,
            [0],
            path,
            how=Measuring(propagation=False, finer_steps=steps, batch=8),
        )
        schedule = solve(profile, [BUDGET])
        with attach(pipeline.pipe, schedule, budget=BUDGET):
            found[steps] = errors(final(pipeline, held), expected)
    finer, own = found[FINER], errors(final(pipeline, held), expected)
    for other in (found[None], own):
        test: Any = stats.wilcoxon(finer, other, alternative="less")
        assert test.pvalue < 0.01
        assert (other - finer).mean() > 0.2  # 2 dB
