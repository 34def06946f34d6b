"""Starting plans for a pipeline at hand: made without a run, and told of in every run."""

from __future__ import annotations

import pytest
import torch
from diffusers import FluxPipeline, UniPCMultistepScheduler

from meancache_plan import start
from meancache_plan.errors import InputError
from meancache_runtime import MeanCacheWarning, attach
from meancache_runtime.errors import ModelMismatchError, RequestMismatchError
from tests.tiny import call_options
from tests.tiny import tiny_flux as build_tiny_flux

STEPS = 6
CALL = {"num_inference_steps": STEPS}


def test_a_run_with_a_starting_plan_says_so_and_a_strict_one_is_refused(
    tiny_flux: FluxPipeline,
) -> None:
    plans = start(tiny_flux, [3], call=CALL)
    with pytest.raises(RequestMismatchError, match="calibrate and solve again"):
        attach(tiny_flux, plans, strict=True)
    with attach(tiny_flux, plans) as attached, torch.no_grad():
        with pytest.warns(MeanCacheWarning, match="this is a starting plan"):
            tiny_flux("a cat", **call_options(STEPS))
        stats = attached.stats
    assert (stats.refreshes, stats.request) == (3, "unknown")
    [warning] = stats.warnings
    assert warning.kind == "request"
    assert "nobody has calibrated this model" in warning.message


def test_a_starting_plan_is_for_the_model_that_it_was_made_for(tiny_flux: FluxPipeline) -> None:
    plans = start(tiny_flux, [3], call=CALL)
    other = build_tiny_flux(guidance_embeds=True)
    with pytest.raises(ModelMismatchError, match="another denoiser"):
        attach(other, plans)


def test_another_sampler_than_eulers_gets_no_starting_plan(tiny_flux: FluxPipeline) -> None:
    tiny_flux.scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True
    )
    with pytest.raises(InputError, match=r"samples with UniPCMultistepScheduler.*calibrate"):
        start(tiny_flux, [3], call=CALL)
