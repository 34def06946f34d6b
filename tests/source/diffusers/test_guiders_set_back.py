"""Guiders are set otherwise for a while, as ``evaluate --also`` asks, and set back afterwards."""

from __future__ import annotations

import pytest

from meancache_plan.errors import InputError
from meancache_plan.judge.asked_requests import asked_for
from meancache_plan.schedule.artifact import Generation
from meancache_plan.source.diffusers.guiders import with_guiders
from meancache_plan.source.diffusers.pipeline_identity import generation
from meancache_plan.source.recipe import Recipe
from meancache_runtime.hosts.diffusers.guiders import guider_settings
from tests.families.guiders import CASES


def test_settings_are_others_inside_and_as_before_outside_whatever_happens() -> None:
    pipe = CASES[0].build()
    before = guider_settings(pipe)
    wished = {"guider.guidance_scale": 7.5, "guider.stop": 0.5, "guider.enabled": False}

    def fail() -> None:
        with with_guiders(pipe, wished):
            assert guider_settings(pipe) == before | wished
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert guider_settings(pipe) == before


def test_a_calibration_notes_a_guider_as_it_is_set_and_not_as_it_was_made() -> None:
    pipe = CASES[0].build()
    pipe.guider.guidance_scale = 3
    settings = generation(pipe, Recipe(), {"frame_rate": 24, "num_frames": 5}).settings
    assert settings == {
        "frame_rate": 24,
        "guider": "ClassifierFreeGuidance",
        "guider.enabled": True,
        "guider.guidance_rescale": 0.0,
        "guider.guidance_scale": 3,
        "guider.start": 0.0,
        "guider.stop": 1.0,
        "guider.use_original_formulation": False,
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ocr_guider.start", "this MotifVideoPipeline has no ocr_guider"),
        ("guider.strength", "no setting of ClassifierFreeGuidance that is a number"),
        ("guider.guidance.scale", "no setting of ClassifierFreeGuidance that is a number"),
        ("guider", "no setting of ClassifierFreeGuidance that is a number"),
    ],
)
def test_what_a_pipeline_has_not_is_refused_by_name(name: str, says: str) -> None:
    pipe = CASES[0].build()
    before = guider_settings(pipe)
    wished = {"guider.guidance_scale": 7.5, name: 0.5}
    with pytest.raises(InputError, match=says), with_guiders(pipe, wished):
        pass
    assert guider_settings(pipe) == before


def test_a_guider_is_asked_for_beside_the_arguments_of_the_call() -> None:
    made = Generation(
        height=None,
        width=None,
        frames=None,
        guidance={},
        dtype="bfloat16",
        settings={"guider": "ClassifierFreeGuidance", "guider.guidance_scale": 5.0},
    )
    text = "guider.guidance_scale=7.5,guider.enabled=false,attention_kwargs.scale=0.5"
    request = asked_for(text, Recipe(call={"frame_rate": 24}), made)
    assert request.guiders == (("guider.guidance_scale", 7.5), ("guider.enabled", False))
    assert request.recipe.call == {"frame_rate": 24, "attention_kwargs.scale": 0.5}
    with pytest.raises(InputError, match=r"guider\.guidance_scale is 5\.0 in calibration"):
        asked_for("guider.guidance_scale=5", Recipe(), made)
    with pytest.raises(InputError, match="give name=value"):
        asked_for("frame_rate=12", Recipe(), made.model_copy(update={"settings": None}))
