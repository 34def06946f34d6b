"""A shard has a name of its own, and merges with the others into the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import FluxPipeline

from meancache_plan import merge_profiles, save_profile
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.shards import Shard
from tests.measure.sources import PROMPTS, SEEDS, source


def test_shards_merge_into_the_whole(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    whole = calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "whole")
    parts = [
        calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / f"part{i}", shard=Shard(i, 4))
        for i in (1, 2, 3, 4)
    ]
    save_profile(merge_profiles(parts[::-1]), tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()
    assert whole.samples == 6


def test_every_shard_has_a_file_name_of_its_own() -> None:
    assert Shard(1, 1).suffixed("a.b.safetensors") == "a.b.safetensors"
    assert Shard(2, 8).suffixed("a.b.safetensors") == "a.b.2-of-8.safetensors"


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/", "-1/2"])
def test_a_bad_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="shard"):
        Shard.parse(text)
