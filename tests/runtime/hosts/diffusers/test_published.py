"""The shipped schedules of published plans, attached to pipelines of the plans' own families."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from meancache_runtime import attach, load_schedule
from meancache_runtime.errors import ModelMismatchError
from tests.counting import count_calls
from tests.tiny_families import (
    qwen_image_options,
    tiny_qwen_image,
    tiny_z_image,
    z_image_options,
)

SCHEDULES = Path(__file__).parents[4] / "schedules"
PUBLISHED = json.loads((SCHEDULES / "published.json").read_text())["models"]


@dataclass(frozen=True)
class Family:
    build: Callable[[], Any]
    options: Callable[[int], dict[str, Any]]
    calls: int
    """Denoiser calls a step."""


QWEN_IMAGE = Family(tiny_qwen_image, qwen_image_options, calls=2)
Z_IMAGE = Family(tiny_z_image, z_image_options, calls=1)
FAMILIES = {
    "Qwen/Qwen-Image": ("qwen-image", QWEN_IMAGE),
    "Qwen/Qwen-Image-2512": ("qwen-image-2512", QWEN_IMAGE),
    "Tongyi-MAI/Z-Image": ("z-image", Z_IMAGE),
}
CASES = [(model, budget) for model, listed in PUBLISHED.items() for budget in listed["budgets"]]


def released_loop(pipe: Any, fresh_steps: list[int], edge_span: list[int]) -> None:
    """Let ``pipe`` step as the released scripts do: the denoiser runs, a cached step ignores it.

    A log of every step's latents z and velocity v; K of the interval over the last K entries.
    """
    spans = dict(zip(fresh_steps, [*edge_span, 0], strict=True))
    step, z, v = pipe.scheduler.step, [], []

    def stepped(velocity: Tensor, timestep: Any, sample: Tensor, **kwargs: Any) -> Any:
        i, sigmas = len(v), pipe.scheduler.sigmas.double()
        z.append(sample.double())
        if i in spans:
            v.append(velocity.double())
        else:
            i0 = i - spans[max(fresh for fresh in spans if fresh < i)]
            average = (z[i] - z[i0]) / (sigmas[i] - sigmas[i0])
            slope = (v[i0] - average) / (sigmas[i] - sigmas[i0])
            v.append(v[i - 1] - slope * (sigmas[i + 1] - sigmas[i]))
        return step(v[i].to(velocity.dtype), timestep, sample, **kwargs)

    pipe.scheduler.step = stepped


def latents(pipe: Any, family: Family, **options: Any) -> Tensor:
    with torch.no_grad():
        return pipe(**family.options(50), **options).images.double()


def grid_of(model: str) -> dict[str, Any]:
    """What a call is given for the noise levels that a model's plans were made on."""
    return {"sigmas": PUBLISHED[model]["sigmas"]} if "sigmas" in PUBLISHED[model] else {}


def relative(result: Tensor, expected: Tensor) -> float:
    return float((result - expected).norm() / expected.norm())


@pytest.mark.parametrize(("model", "budget"), CASES)
def test_a_shipped_schedule_gives_the_latents_of_the_released_loop_on_its_own_grid(model, budget):
    folder, family = FAMILIES[model]
    plan = PUBLISHED[model]["budgets"][budget]
    by_script = family.build()
    released_loop(by_script, **plan)
    expected = latents(by_script, family, **grid_of(model))
    levels = by_script.scheduler.sigmas.tolist()
    moving = [step for step in plan["fresh_steps"] if levels[step] != levels[step + 1]]

    pipe = family.build()
    calls = count_calls(pipe.transformer)
    with attach(pipe, load_schedule(SCHEDULES / folder / "50-steps.json"), budget=int(budget)):
        result = latents(pipe, family, **grid_of(model))
    assert len(calls) == len(moving) * family.calls
    assert relative(result, expected) < 1e-5


def test_z_image_was_made_on_a_last_step_of_no_length_which_is_a_knot_of_every_plan():
    name = "Tongyi-MAI/Z-Image"
    pipe, schedule = tiny_z_image(), load_schedule(SCHEDULES / "z-image" / "50-steps.json")
    with attach(pipe, schedule, budget=13) as attachment:
        there = latents(pipe, Z_IMAGE, **grid_of(name))
        assert pipe.scheduler.sigmas[-2:].tolist() == [0, 0]
        assert (attachment.stats.refreshes, attachment.stats.cached_steps) == (12, 38)
        own = latents(pipe, Z_IMAGE, sigmas=[1 - step / 50 for step in range(50)])
        assert attachment.stats.refreshes == 13
    assert relative(own, there) > 1e-3


@pytest.mark.parametrize("model", FAMILIES)
def test_a_shipped_schedule_fits_its_hub_id_and_any_local_folder(model, tmp_path, monkeypatch):
    folder, family = FAMILIES[model]
    schedule = load_schedule(SCHEDULES / folder / "50-steps.json")
    (tmp_path / "copies" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in (model, "copies/mine", str(tmp_path / "copies" / "mine")):
        pipe = family.build()
        pipe.register_to_config(_name_or_path=name)
        with attach(pipe, schedule, budget=25):
            pass
    pipe.register_to_config(_name_or_path="someone/else")
    with pytest.raises(ModelMismatchError, match=f"{model}, but this pipeline is someone/else"):
        attach(pipe, schedule, budget=25)


def test_a_shipped_schedule_refuses_another_architecture(tiny_flux):
    schedule = load_schedule(SCHEDULES / "qwen-image" / "50-steps.json")
    with pytest.raises(ModelMismatchError, match=r"Qwen/Qwen-Image .*has another denoiser"):
        attach(tiny_flux, schedule, budget=25)
