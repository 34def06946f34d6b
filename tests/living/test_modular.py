"""diffusers' modular pipelines, which follow a plan by their scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ModularPipeline
from diffusers.guiders import (
    AdaptiveProjectedGuidance,
    ClassifierFreeGuidance,
    MagnitudeAwareGuidance,
    PerturbedAttentionGuidance,
    SmoothedEnergyGuidance,
    TangentialClassifierFreeGuidance,
)
from torch import Tensor

from meancache_runtime import MeanCacheScheduler, attach
from meancache_runtime.errors import StepCountError
from tests.counting import count_calls
from tests.hosts.modular import modular_flux, modular_qwen_image, packed
from tests.plans import BUDGET, FULL, SCHEDULE, STEPS
from tests.tiny import call_options, tiny_flux
from tests.tiny_families import qwen_image_options, tiny_qwen_image


class Pair:
    """The same weights as an ordinary pipeline and as a modular one."""

    def __init__(self, family: str) -> None:
        self.branches = 2 if family == "Qwen-Image" else 1
        if family == "Qwen-Image":
            self.ordinary = tiny_qwen_image()
            self.modular = modular_qwen_image(self.ordinary)
        else:
            self.ordinary = tiny_flux()
            self.modular = modular_flux(self.ordinary)
        self.calls = count_calls(self.ordinary.transformer)

    def _options(self) -> dict[str, Any]:
        if self.branches == 2:
            return qwen_image_options(STEPS)
        return call_options(STEPS) | {"prompt": "a cat"}

    def run_ordinary(self) -> Tensor:
        with torch.no_grad():
            return self.ordinary(**self._options()).images

    def run(self, **more: Any) -> Tensor:
        """The modular pipeline's usual call; its latents as the ordinary one has them."""
        options = self._options() | more
        for name in ("output_type", "true_cfg_scale"):
            options.pop(name, None)
        self.calls.clear()
        return packed(self.modular(output="latents", **options))

    def follow(self, schedule: Any) -> None:
        self.modular.scheduler = MeanCacheScheduler.from_schedule(
            self.modular.scheduler, schedule, budget=schedule.budgets[0]
        )


@pytest.fixture(params=["Flux", "Qwen-Image"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def test_latents_are_those_of_the_ordinary_pipeline_with_the_plan_attached(pair: Pair) -> None:
    with attach(pair.ordinary, SCHEDULE):
        attached = pair.run_ordinary()
    pair.follow(SCHEDULE)
    torch.testing.assert_close(pair.run(), attached, rtol=0, atol=2e-6)
    assert len(pair.calls) == BUDGET * pair.branches


def test_a_knot_at_every_step_changes_no_bit(pair: Pair) -> None:
    plain = pair.run()
    assert torch.equal(plain, pair.run_ordinary())
    pair.follow(FULL)
    assert torch.equal(pair.run(), plain)


def test_a_second_run_equals_the_first_and_another_step_count_is_refused(pair: Pair) -> None:
    pair.follow(SCHEDULE)
    first = pair.run()
    with pytest.raises(StepCountError, match=f"made for {STEPS}"):
        pair.run(num_inference_steps=STEPS + 1)
    assert torch.equal(pair.run(), first)


def anywhere(name: str) -> dict[str, Any]:
    """Guidance by a third branch in the first layer, in all steps but the first."""
    return {f"{name}_layers": [0], f"{name}_start": 0.0, f"{name}_stop": 1.0}


GUIDERS: dict[str, tuple[Callable[[], Any], int]] = {
    "none": (lambda: ClassifierFreeGuidance(enabled=False), 1),
    "another scale": (lambda: ClassifierFreeGuidance(guidance_scale=2.0), 2),
    "rescaled": (lambda: ClassifierFreeGuidance(guidance_scale=3.0, guidance_rescale=0.5), 2),
    "tangential": (lambda: TangentialClassifierFreeGuidance(guidance_scale=3.0), 2),
    "magnitude aware": (lambda: MagnitudeAwareGuidance(), 2),
    "adaptive, projected": (lambda: AdaptiveProjectedGuidance(), 2),
    "perturbed attention": (
        lambda: PerturbedAttentionGuidance(**anywhere("perturbed_guidance")),
        3,
    ),
    "smoothed energy": (lambda: SmoothedEnergyGuidance(**anywhere("seg_guidance")), 3),
}


@pytest.mark.parametrize(("guider", "branches"), GUIDERS.values(), ids=GUIDERS)
def test_every_guider_s_branches_run_once_a_refresh(
    guider: Callable[[], Any], branches: int
) -> None:
    pair = Pair("Qwen-Image")
    pair.modular.update_components(guider=guider())
    later = branches == 3  # the third branch is not in the first step
    plain = pair.run()
    assert len(pair.calls) == STEPS * branches - later
    pair.follow(SCHEDULE)
    assert not torch.equal(pair.run(), plain)
    assert len(pair.calls) == BUDGET * branches - later
    pair.follow(FULL)
    assert torch.equal(pair.run(), plain)


def test_the_window_of_a_guider_is_of_refreshes() -> None:
    pair = Pair("Qwen-Image")
    pair.modular.update_components(guider=ClassifierFreeGuidance(stop=0.5))
    pair.follow(SCHEDULE)
    pair.run()
    assert len(pair.calls) == BUDGET // 2 * 2 + BUDGET // 2


def test_a_saved_pipeline_keeps_its_plan(tmp_path: Path) -> None:
    pair = Pair("Qwen-Image")
    pair.modular.update_components(
        scheduler=MeanCacheScheduler.from_schedule(pair.modular.scheduler, SCHEDULE, budget=BUDGET)
    )
    expected = pair.run()
    pair.modular.save_pretrained(str(tmp_path), overwrite_modular_index=True)
    loaded = ModularPipeline.from_pretrained(tmp_path)
    loaded.load_components()
    assert isinstance(loaded.scheduler, MeanCacheScheduler)
    pair.modular.scheduler = loaded.scheduler
    assert torch.equal(pair.run(), expected)
