"""What of a pipeline's call counts as a setting, and what a schedule notes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from meancache_runtime.annotations import Generation, Value
from meancache_runtime.call_settings import filled, noted, settings
from meancache_runtime.strict_json import MAX_TEXT


@dataclass
class Condition:
    """As LTX has them."""

    frames: Any
    strength: float


CASES: dict[str, tuple[dict[str, Any], dict[str, Value]]] = {
    "numbers of all kinds": (
        {"a": 2, "b": 0.5, "c": np.float32(0.25), "d": torch.tensor(3.0), "e": np.int64(7)},
        {"a": 2, "b": 0.5, "c": 0.25, "d": 3.0, "e": 7},
    ),
    "truth values": ({"guess_mode": True, "f": np.bool_(False)}, {"guess_mode": True, "f": False}),
    "what is in a dictionary": (
        {"attention_kwargs": {"scale": 0.5, "deeper": {"still": 1}}},
        {"attention_kwargs.scale": 0.5, "attention_kwargs.deeper.still": 1},
    ),
    "rows of numbers": (
        {
            "a": [0.5, 0.8],
            "b": (1, 1),
            "c": [0.7],
            "d": torch.tensor([1.0, 2.0]),
            "e": [[0, 1], [2]],
        },
        {"a": "0.5 0.8", "b": 1, "c": 0.7, "d": "1 2", "e": "0 1 2"},
    ),
    "a list of data classes": (
        {"conditions": [Condition(torch.zeros(3, 4), 1.0), Condition(None, 0.5)]},
        {"conditions.strength": "1 0.5"},
    ),
    "a LoRA's usual scale, which is none": ({"joint_attention_kwargs": {"scale": 1.0}}, {}),
    "what other comparisons see": (
        {
            **{"height": 64, "width": 64, "num_frames": 5, "num_inference_steps": 50, "mu": 1.0},
            **{"sigmas": [1.0, 0.5], "timesteps": [999.0], "strength": 0.6},
        },
        {},
    ),
    "what steers nothing": (
        {
            **{"num_images_per_prompt": 4, "num_videos_per_prompt": 1, "return_dict": True},
            **{"callback_steps": 1, "eta": 0.0, "decode_timestep": 0.05, "vae_batch_size": 2},
            **{"prompt_enhancement_seed": 10, "enable_safety_check": True},
        },
        {},
    ),
    "texts, pictures, and whatever else is no number": (
        {
            **{"prompt": "a cat", "output_type": "latent", "image": np.zeros((4, 4, 3))},
            **{"prompt_embeds": torch.zeros(1, 4, 8), "generator": torch.Generator(), "b": None},
            **{
                "text_ids": list(range(2000)),
                "kind": Condition,
                "meta": torch.ones((), device="meta"),
            },
        },
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_number_that_steers_is_a_setting_by_its_dotted_name(case: str) -> None:
    arguments, expected = CASES[case]
    found = settings(arguments)
    assert found == expected
    assert [type(value) is bool for value in found.values()] == [
        type(value) is bool for value in expected.values()
    ]


def test_what_no_file_could_hold_becomes_a_text_that_it_can() -> None:
    found = settings({"a": float("inf"), "b": 1e9, "c": [i / 7 for i in range(500)], "d": 10**400})
    assert all(isinstance(value, str) and 0 < len(value) <= MAX_TEXT for value in found.values())
    assert (found["a"], found["b"]) == ("inf", "1000000000.0")
    assert found["c"] != settings({"c": [i / 8 for i in range(500)]})["c"]


DEFAULTS = {"guidance_scale": 3.5, "max_sequence_length": 512, "guess_mode": False, "image": None}


@pytest.mark.parametrize(
    ("call", "says", "means"),
    [
        ({}, {}, {"max_sequence_length": 512, "guess_mode": False}),
        (
            {"max_sequence_length": 64, "guidance_scale": 2.0},
            {"max_sequence_length": 64},
            {"max_sequence_length": 64, "guess_mode": False},
        ),
        (
            {"max_sequence_length": None, "guidance_scale": None},
            {"max_sequence_length": "none", "guidance_scale": "none"},
            {"max_sequence_length": "none", "guess_mode": False, "guidance_scale": "none"},
        ),
    ],
)
def test_a_schedule_says_what_was_given_and_defaults_are_filled_in(
    call: dict[str, Any], says: dict[str, Value], means: dict[str, Value]
) -> None:
    assert noted(call, DEFAULTS) == says
    scales = {"guidance_scale": 2.0} if call.get("guidance_scale") else {}
    made = filled(Generation(None, None, None, scales, "float32", settings=says), DEFAULTS)
    assert made.settings == means
    expected = {} if "guidance_scale" in means else {"guidance_scale": 3.5} | scales
    assert made.guidance == expected


def test_where_settings_are_not_known_none_is_filled_in() -> None:
    made = filled(Generation(None, None, None, {}, "float32"), DEFAULTS)
    assert made.settings is None
    assert made.guidance == {"guidance_scale": 3.5}
