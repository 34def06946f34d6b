"""The kind of device is noted in profiles; several kinds are mixed only where one says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meancache_plan import load_profile, merge_profiles
from meancache_plan.errors import InputError, MergeError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.shards import Shard
from tests.fleet.toy import Toy


class On(Toy):
    """The toy on a kind of device, on which its bits do not depend."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def versions(self) -> dict[str, str]:
        return {"torch": "2", "device": self.device}


def profile(device: str, path: Path, *, to: int = 9, anywhere: bool = False) -> Profile:
    """Calibrate; interrupted once ``to`` samples are done."""

    def interrupt(done: int, _total: int) -> None:
        if done == to:
            raise KeyboardInterrupt

    return calibrate(On(device), ("a", "b"), (0, 1), path, any_device=anywhere, progress=interrupt)


def shard(device: str, number: int, path: Path) -> Profile:
    return calibrate(On(device), ("a", "b"), (0, 1), path, shard=Shard(number, 2))


def test_unfinished_work_of_another_kind_goes_on_only_where_any_will_do(tmp_path: Path) -> None:
    whole, ours = profile("A", tmp_path / "whole"), tmp_path / "ours"
    with pytest.raises(KeyboardInterrupt):
        profile("A", ours, to=2)
    with pytest.raises(InputError, match=r"versions.device \(A there, B here\); add --any-device"):
        profile("B", ours)
    told: list[int] = []
    calibrate(On("B"), ("a", "b"), (0, 1), ours, any_device=True,
              progress=lambda done, _: told.append(done))  # fmt: skip
    assert told == [2, 3, 4]
    found = load_profile(ours)
    assert found.settings.versions == {"torch": "2", "device": "any"}
    assert np.array_equal(found.grams, whole.grams)


def test_what_was_begun_on_any_kind_does_not_become_one_kinds(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        profile("A", tmp_path / "p", to=2, anywhere=True)
    with pytest.raises(InputError, match=r"versions.device \(any there, A here\)"):
        profile("A", tmp_path / "p")


def test_a_finished_profile_of_another_kind_is_as_good_where_any_will_do(tmp_path: Path) -> None:
    profile("A", tmp_path / "p")
    with pytest.raises(InputError, match=r"versions.device \(A there, B here\)"):
        profile("B", tmp_path / "p")
    assert profile("B", tmp_path / "p", anywhere=True).settings.versions["device"] == "A"


def test_shards_of_two_kinds_are_merged_only_where_any_will_do(tmp_path: Path) -> None:
    whole = profile("A", tmp_path / "whole")
    parts = [shard(device, number, tmp_path / device) for number, device in ((1, "A"), (2, "B"))]
    with pytest.raises(MergeError, match=r"versions.device: 'A' in .*, or add --any-device"):
        merge_profiles(parts)
    merged = merge_profiles(parts, any_device=True)
    assert merged.settings.versions == {"torch": "2", "device": "any"}
    assert merged.fingerprint == whole.fingerprint
    same = [parts[0], shard("A", 2, tmp_path / "same")]
    assert merge_profiles(same, any_device=True).settings.versions["device"] == "A"
