"""Samples recorded some at a time are those recorded one by one, and may be interrupted too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from meancache_plan import merge_profiles
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.measure.shards import Shard
from meancache_plan.source.recipe import Recipe
from tests.measure.sources import Batching
from tests.tiny import SIDE, TEXT_LENGTH

PROMPTS = ("a cat", "a dog", "an owl")
SEEDS = (0, 1)
STEPS = 6


def source(pipe: FluxPipeline, stop_after: int | None = None) -> Batching:
    call: dict[str, Any] = {"max_sequence_length": TEXT_LENGTH}
    guided = {"guidance_argument": "true_cfg_scale", "guidance": 3.0, "negative_prompt": "a dog"}
    recipe = Recipe.model_validate(
        {"steps": STEPS, "height": SIDE, "width": SIDE, "dtype": "float32", "call": call, **guided}
    )
    made = Batching(pipe, recipe, "tiny")
    made.calls, made.stop_after = [], stop_after
    return made


def test_a_batched_profile_is_the_unbatched_one_but_for_rounding(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    one = calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "one")
    batched = source(tiny_flux)
    four = calibrate(batched, PROMPTS, SEEDS, tmp_path / "four", Measuring(batch=4))
    assert batched.calls == [4, 2]
    assert (one.settings.batch, four.settings.batch) == (1, 4)
    assert four.propagation.size > 0
    for name, expected in one.tensors().items():
        np.testing.assert_allclose(four.tensors()[name], expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("done", [4, 8])
def test_interrupted_and_resumed_it_ends_with_the_same_bytes(
    tiny_flux: FluxPipeline, tmp_path: Path, done: int
) -> None:
    seeds = (0, 1, 2)
    calibrate(source(tiny_flux), PROMPTS, seeds, tmp_path / "whole", Measuring(batch=4))
    with pytest.raises(KeyboardInterrupt):
        calibrate(source(tiny_flux, done), PROMPTS, seeds, tmp_path / "resumed", Measuring(batch=4))
    again = source(tiny_flux)
    calibrate(again, PROMPTS, seeds, tmp_path / "resumed", Measuring(batch=4))
    assert sum(again.calls) == 9 - done
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_batch_of_which_a_part_was_kept_is_made_again_as_it_was(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "whole", Measuring(batch=4))

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(
            source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p", Measuring(batch=4), progress=stop
        )
    calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p", Measuring(batch=4))
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()


def test_shards_are_batched_and_merge(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    shards = [Shard(number, 2) for number in (1, 2)]
    parts = [
        calibrate(
            source(tiny_flux),
            PROMPTS,
            SEEDS,
            tmp_path / str(s.number),
            shard=s,
            how=Measuring(batch=2),
        )
        for s in shards
    ]
    whole = calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "whole", Measuring(batch=2))
    merged = merge_profiles(parts)
    np.testing.assert_allclose(merged.grams, whole.grams, rtol=1e-3, atol=1e-5)


def test_another_batch_is_another_calibration(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p", Measuring(batch=2))
    with pytest.raises(InputError, match="batch"):
        calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p")
    with pytest.raises(InputError, match="batch 0: give 1 or more"):
        calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "q", Measuring(batch=0))


class OwnNoise(FluxPipeline):
    """Draws its noise from torch's own generator, one for the whole batch."""

    def prepare_latents(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        latents, ids = super().prepare_latents(*args, **kwargs)
        return torch.randn(latents.shape), ids


class OneByOne(FluxPipeline):
    """Takes a single prompt."""

    def check_inputs(self, prompt: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(prompt, str):
            raise ValueError("one prompt only")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (OwnNoise, r"OwnNoise draws different noise for a sample in a batch: .* \(batch 1\)"),
        (OneByOne, r"OneByOne refuses a batch of 2 samples \(one prompt only\): .* \(batch 1\)"),
    ],
)
def test_what_cannot_be_batched_is_refused_by_name(
    tiny_flux: FluxPipeline, tmp_path: Path, kind: type[FluxPipeline], reason: str
) -> None:
    tiny_flux.__class__ = kind
    with pytest.raises(InputError, match=reason):
        calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p", Measuring(batch=2))
    assert calibrate(source(tiny_flux), PROMPTS, (0,), tmp_path / "p").samples == 3
