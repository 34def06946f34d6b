"""Settings of a call and of a guider that are other than in calibration are named, or refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from diffusers.guiders import AdaptiveProjectedGuidance, ClassifierFreeGuidance

from meancache_runtime import MeanCacheWarning, attach
from meancache_runtime.annotations import Also, Generation
from meancache_runtime.call_settings import guidance, noted
from meancache_runtime.errors import RequestMismatchError
from meancache_runtime.hosts.diffusers.guiders import defaults, guider_settings
from meancache_runtime.schedule import Schedule
from tests.families.case import Case, run
from tests.families.flux import CASES as FLUX
from tests.families.guiders import CASES as GUIDERS
from tests.families.stable_diffusion_3 import CASES as SD3
from tests.families.versions import came_with, since
from tests.runtime import by_hand

MEASURED = {"psnr_latent": 40.0, "psnr": 40.0, "ssim": 1.0, "speedup": 2.0}
CONTROLLED = next(case for case in FLUX if case.name == "FluxControlNetPipeline")
GUIDED = GUIDERS[0]  # Motif-Video

Change = Callable[[Any], dict[str, Any]]
"""What a pipeline is changed by, and what its call is given."""


def each_of(table: Mapping[str, tuple[Any, ...]]) -> pytest.MarkDecorator:
    """Runs a test with every name; without those whose pipeline diffusers is too old for."""
    rows = ((name, row[0]) for name, row in table.items())
    return pytest.mark.parametrize(
        "name",
        [pytest.param(name, marks=came_with(since(case), case.name)) for name, case in rows],
    )


def calibrated(case: Case, pipe: Any, *also: Also) -> Schedule:
    """A schedule that says that its samples were made as the case's call makes them."""
    call = case.call(case.steps)
    plain = by_hand.schedule(case.steps, (0, 2))
    made = Generation(
        *(None, None, call.get("num_frames"), guidance(call), "float32"),
        settings=noted(call, defaults(pipe)) | guider_settings(pipe),
    )
    [plan] = plain.plans
    return replace(plain, generation=made, also={plan.budget: also})


def asks(**options: Any) -> Change:
    return lambda pipe: options


def sets(**attributes: Any) -> Change:
    def change(pipe: Any) -> dict[str, Any]:
        vars(pipe.guider).update(attributes)
        return {}

    return change


def takes(guider: Callable[[], Any]) -> Change:
    def change(pipe: Any) -> dict[str, Any]:
        pipe.guider = guider()
        return {}

    return change


OTHERS: dict[str, tuple[Case, Change, str]] = {
    "a LoRA's scale": (
        FLUX[0],
        asks(joint_attention_kwargs={"scale": 0.5}),
        r"has joint_attention_kwargs.scale 0.5, and the schedule was calibrated without",
    ),
    "a longer text": (
        FLUX[0],
        asks(max_sequence_length=8),
        "has max_sequence_length 8, and the schedule was calibrated with 12",
    ),
    "a ControlNet's scale": (
        CONTROLLED,
        asks(controlnet_conditioning_scale=0.5),
        "has controlnet_conditioning_scale 0.5, and the schedule was calibrated with 1;",
    ),
    "a ControlNet's end": (
        CONTROLLED,
        asks(control_guidance_end=0.5),
        "has control_guidance_end 0.5, and the schedule was calibrated with 1;",
    ),
    "a scale for each of several": (
        CONTROLLED,
        asks(controlnet_conditioning_scale=[0.5, 0.8]),
        "has controlnet_conditioning_scale 0.5 0.8, and the schedule was calibrated with 1;",
    ),
    "another length": (
        GUIDED,
        asks(num_frames=9),
        "has frames 9, and the schedule was calibrated with 5; .* pass num_frames=5",
    ),
    "another guidance of a guider": (
        GUIDED,
        sets(guidance_scale=7.5),
        "has guider.guidance_scale 7.5, .* with 5; .* set pipe.guider.guidance_scale to 5",
    ),
    "a guider that is off": (
        GUIDED,
        sets(_enabled=False),
        "has guider.enabled False, .* with True",
    ),
    "a guider that ends earlier": (GUIDED, sets(_stop=0.6), "has guider.stop 0.6, .* with 1;"),
    "another guider": (
        GUIDED,
        takes(lambda: AdaptiveProjectedGuidance(guidance_scale=5.0)),
        "has guider AdaptiveProjectedGuidance, .* with ClassifierFreeGuidance",
    ),
    "the same guider made otherwise": (
        GUIDED,
        takes(lambda: ClassifierFreeGuidance(guidance_scale=5.0, guidance_rescale=0.5)),
        "has guider.guidance_rescale 0.5, .* with 0;",
    ),
}
FAILS = ("a scale for each of several", "a guider that ends earlier")
"""What the pipelines themselves cannot do, with one ControlNet or in a second run."""


@each_of(OTHERS)
def test_what_is_other_is_named_once_and_a_strict_attachment_refuses_it(name: str) -> None:
    case, change, says = OTHERS[name]
    pipe = case.build()
    schedule, call = calibrated(case, pipe), case.call(case.steps)
    with warnings.catch_warnings(), attach(pipe, schedule, strict=True) as attached:
        warnings.simplefilter("error")
        run(pipe, call)
    assert (attached.stats.request, attached.stats.warnings) == ("same", ())
    other = call | change(pipe)
    with attach(pipe, schedule, strict=True), pytest.raises(RequestMismatchError, match=says):
        run(pipe, other)
    if name in FAILS:
        return
    with attach(pipe, schedule) as attached:
        with pytest.warns(MeanCacheWarning, match=says):
            run(pipe, other)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(pipe, other)
    assert attached.stats.request == "unknown"


MEASURABLE: dict[str, tuple[Case, Change, dict[str, Any], Change]] = {
    "a ControlNet's scale": (
        CONTROLLED,
        asks(controlnet_conditioning_scale=0.5),
        {"controlnet_conditioning_scale": 0.5},
        asks(guidance_scale=7.0),
    ),
    "a guider's scale": (
        GUIDED,
        sets(guidance_scale=7.5),
        {"guider.guidance_scale": 7.5},
        sets(guidance_rescale=0.5),
    ),
    "another guider": (
        GUIDED,
        takes(lambda: AdaptiveProjectedGuidance(guidance_scale=5.0)),
        {"guider": "AdaptiveProjectedGuidance"},
        sets(guidance_scale=7.5),
    ),
    "a text of any length": (
        FLUX[0],
        asks(max_sequence_length=None),
        {"max_sequence_length": "none"},
        asks(max_sequence_length=9),
    ),
}


@each_of(MEASURABLE)
def test_what_was_measured_is_known_and_no_more_than_that(name: str) -> None:
    case, change, noted_as, more = MEASURABLE[name]
    pipe = case.build()
    schedule = calibrated(case, pipe, Also(noted_as, None, None, MEASURED))
    other = case.call(case.steps) | change(pipe)
    with warnings.catch_warnings(), attach(pipe, schedule, strict=True) as attached:
        warnings.simplefilter("error")
        run(pipe, other)
        assert attached.stats.request == "measured"
        with pytest.raises(RequestMismatchError):
            run(pipe, other | more(pipe))


def test_what_a_schedule_does_not_say_is_not_compared() -> None:
    case, change, _ = OTHERS["a ControlNet's scale"]
    pipe = case.build()
    made = Generation(None, None, None, guidance(case.call(case.steps)), "float32")
    schedule = replace(calibrated(case, pipe), generation=made)
    with warnings.catch_warnings(), attach(pipe, schedule, strict=True) as attached:
        warnings.simplefilter("error")
        run(pipe, case.call(case.steps) | change(pipe))
    assert attached.stats.request == "same"


def _at_step_1(change: Change) -> dict[str, Any]:
    def callback(pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            change(pipe)
        return tensors

    return {"callback_on_step_end": callback}


def _scaled(pipe: Any) -> dict[str, Any]:
    pipe._guidance_scale = 9.0
    return {}


IN_MID_RUN: dict[str, tuple[Case, Change, str]] = {
    "another scale": (GUIDED, sets(guidance_scale=2.0), "guider.guidance_scale is 2, and it was 5"),
    "another guider": (
        GUIDED,
        takes(lambda: AdaptiveProjectedGuidance(guidance_scale=5.0)),
        "guider is AdaptiveProjectedGuidance, and it was ClassifierFreeGuidance",
    ),
    "no guider that works": (GUIDED, sets(_enabled=False), "guider.enabled is False"),
    "another scale of the call": (SD3[0], _scaled, "guidance_scale is 9, and it was 4"),
}


@pytest.mark.parametrize("strict", [False, True])
@each_of(IN_MID_RUN)
def test_what_a_callback_changes_is_said_at_the_step_after(name: str, strict: bool) -> None:
    case, change, says = IN_MID_RUN[name]
    pipe = case.build()
    schedule, call = calibrated(case, pipe), case.call(case.steps)
    with attach(pipe, schedule, strict=strict) as attached:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(pipe, call | _at_step_1(lambda pipe: {}))
        expected = f"at step 2 {says}"
        if strict:
            with pytest.raises(RequestMismatchError, match=expected):
                run(pipe, call | _at_step_1(change))
            return
        with pytest.warns(MeanCacheWarning, match=expected):
            run(pipe, call | _at_step_1(change))
        assert attached.stats.request == "unknown"
