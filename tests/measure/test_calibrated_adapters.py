"""What is calibrated with an adapter (LoRA) is recognised by that adapter's weights and scale."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import FluxPipeline

from meancache_plan import load_profile, save_profile, solve
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime import attach
from meancache_runtime.errors import ModelMismatchError
from tests.runtime.hosts.diffusers.loras import add
from tests.tiny import SIDE, TEXT_LENGTH

RECIPE = Recipe(
    steps=4, height=SIDE, width=SIDE, dtype="float32", call={"max_sequence_length": TEXT_LENGTH}
)


def test_a_schedule_carries_the_adapters_it_was_calibrated_with(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    add(tiny_flux, "style")
    source = Pipeline(tiny_flux, RECIPE, "tiny")
    save_profile(calibrate(source, ("a cat",), (0,), tmp_path / "parts"), tmp_path / "profile")
    profile = load_profile(tmp_path / "profile")
    schedule = solve(profile, budgets=(2,))
    attach(tiny_flux, schedule, strict=True).detach()
    tiny_flux.set_adapters(["style"], [0.5])
    with pytest.raises(ModelMismatchError, match="other weights or another scale"):
        attach(tiny_flux, schedule, strict=True)


def test_a_calibration_at_one_scale_does_not_go_on_at_another(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    add(tiny_flux, "style")
    source = Pipeline(tiny_flux, RECIPE, "tiny")
    calibrate(source, ("a cat",), (0,), tmp_path / "parts")
    tiny_flux.set_adapters(["style"], [0.5])
    with pytest.raises(InputError, match="model"):
        calibrate(source, ("a cat",), (0,), tmp_path / "parts")
