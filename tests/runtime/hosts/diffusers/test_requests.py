"""A call that asks for another size or guidance than was calibrated is named, or refused."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch

from meancache_runtime import attach
from meancache_runtime.annotations import Generation
from meancache_runtime.errors import RequestMismatchError
from meancache_runtime.schedule import Schedule
from tests.runtime import by_hand
from tests.tiny import SIDE, call_options

STEPS = 6
CFG = {"negative_prompt": "", "true_cfg_scale": 2.5}
GUIDED = {"guidance_scale": 1.0, "true_cfg_scale": 2.5}


def schedule(**made: Any) -> Schedule:
    known = {"height": SIDE, "width": SIDE, "frames": None, "guidance": GUIDED}
    generation = Generation(**(known | {"dtype": "float32"} | made))
    return replace(by_hand.schedule(STEPS, (0, 2, 4)), generation=generation)


def run(pipe: Any, **options: Any) -> None:
    with torch.no_grad():
        pipe("a cat", **call_options(STEPS) | CFG | options)


OTHERS = [
    ({"true_cfg_scale": 7.5}, "true_cfg_scale 7.5, and the schedule was calibrated with 2.5"),
    ({"true_cfg_scale": 1}, "true_cfg_scale 1, and the schedule was calibrated with 2.5"),
    ({"height": 2 * SIDE}, f"height {2 * SIDE}, and the schedule was calibrated with {SIDE}"),
]


@pytest.mark.parametrize(("options", "says"), OTHERS)
def test_it_is_a_warning_in_every_run_and_said_aloud_once(
    tiny_flux: Any, options: dict[str, Any], says: str
) -> None:
    with attach(tiny_flux, schedule()) as attachment:
        with pytest.warns(UserWarning, match=says):
            run(tiny_flux, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(tiny_flux, **options)
        [warning] = attachment.stats.warnings
        assert warning.kind == "request"
        assert says in warning.message


@pytest.mark.parametrize(("options", "says"), OTHERS)
def test_a_strict_attachment_refuses_it_before_the_denoiser_runs(
    tiny_flux: Any, options: dict[str, Any], says: str
) -> None:
    with attach(tiny_flux, schedule(), strict=True) as attachment:
        with pytest.raises(RequestMismatchError, match=says):
            run(tiny_flux, **options)
        assert attachment.stats.denoiser_calls == 0
        run(tiny_flux)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("made", "options"),
    [
        ({}, {}),
        ({"height": None, "width": None}, {}),
        ({"guidance": {}}, {"true_cfg_scale": 1.0, "guidance_scale": 3.5}),  # FluxPipeline's own
        ({"guidance": GUIDED | {"true_cfg_scale": 1.0}}, {"true_cfg_scale": 1}),
    ],
)
def test_the_calibrated_request_and_what_was_not_noted_say_nothing(
    tiny_flux: Any, strict: bool, made: dict[str, Any], options: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with attach(tiny_flux, schedule(**made), strict=strict) as attachment:
            run(tiny_flux, **options)
    assert attachment.stats.warnings == ()


def test_a_default_of_the_call_counts_as_asked_for(tiny_flux: Any) -> None:
    says = "true_cfg_scale 1, and the schedule was calibrated with 2.5"  # FluxPipeline's own
    with attach(tiny_flux, schedule()), pytest.warns(UserWarning, match=says), torch.no_grad():
        tiny_flux("a cat", **call_options(STEPS))


def test_a_call_that_the_pipeline_refuses_is_refused_by_the_pipeline(tiny_flux: Any) -> None:
    with attach(tiny_flux, schedule(), strict=True), pytest.raises(TypeError, match="brightness"):
        run(tiny_flux, brightness=1)
