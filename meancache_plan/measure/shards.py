"""Join the shards of one calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meancache_plan.errors import InputError, MergeError, check_kind, check_list
from meancache_plan.files.differing_settings import differences
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_tensors import TENSORS
from meancache_plan.source.any_device import is_of_device


def merge_profiles(profiles: Sequence[Profile], *, any_device: bool = False) -> Profile:
    """Join the shards of one calibration; ``missing`` of the result tells what is not there.

    Args:
        profiles: The shards.
        any_device: Join those of different kinds of devices too; the result then notes ``any``.

    Raises:
        InputError: What is given is no list of profiles.
        MergeError: No profile is given, settings differ, or a sample is in two profiles.
    """
    for profile in check_list("profiles", profiles, "give a list of profiles"):
        check_kind("a profile", profile, Profile, "load_profile reads one from its file")
    if not profiles:
        raise MergeError("nothing to merge: give at least one profile")
    settings = [profile.settings for profile in profiles]
    if any_device and any(each.versions != settings[0].versions for each in settings):
        settings = [each.anywhere() for each in settings]
    for number, each in enumerate(settings[1:], start=2):
        for name, mine, theirs in differences(settings[0].compared(), each.compared()):
            fix = "merge only shards of one calibration"
            raise MergeError(
                f"{name}: {mine!r} in profile 1, but {theirs!r} in profile {number}; "
                f"{fix}{', or add --any-device' if is_of_device(name) else ''}"
            )
    levels = profiles[0].propagation_sigmas
    if any(not np.array_equal(profile.propagation_sigmas, levels) for profile in profiles):
        raise MergeError("propagation_sigmas: differ; merge only shards of one calibration")
    return Profile(settings[0], **_joined(profiles), propagation_sigmas=levels)


def _joined(profiles: Sequence[Profile]) -> dict[str, NDArray[Any]]:
    """The rows of all shards, in the samples' order."""
    rows = {
        name: np.concatenate([profile.tensors()[name] for profile in profiles])
        for name in TENSORS
        if name != "propagation_sigmas"
    }
    samples, counts = np.unique(rows["sample_index"], return_counts=True)
    if (counts > 1).any():
        twice = ", ".join(map(str, samples[counts > 1][:10]))
        raise MergeError(f"sample_index: samples {twice} are in more than one profile")
    order, measured = np.argsort(rows["sample_index"]), np.argsort(rows["propagation_index"])
    return {
        name: values[measured if name.startswith("propagation") else order]
        for name, values in rows.items()
    }


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` of ``count`` of a calibration, 1-based: jobs number − 1, + count, …"""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``"i/n"``. Raises InputError."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal()):
            raise InputError(f"shard {text!r}: give i/n, such as 2/8 for the second of eight")
        if not 1 <= int(number) <= int(count) <= 100_000:
            raise InputError(f"shard {text!r}: give an i from 1 to n, at most 100,000")
        return cls(int(number), int(count))

    def suffixed(self, name: str) -> str:
        """A file name of this shard's own: ``a.b`` for the whole, ``a.2-of-8.b`` for a part."""
        stem, dot, suffix = name.rpartition(".")
        return name if self.count == 1 else f"{stem}.{self.number}-of-{self.count}{dot}{suffix}"
