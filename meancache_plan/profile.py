"""The profile: what calibration measured, for ``solve`` to plan from, in one safetensors file.

The file holds the tensors named in :data:`TENSORS` and one metadata entry, ``meancache-profile``:
JSON with the format's version and the settings. Equal profiles give equal bytes.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from meancache_plan.deviation import EdgeIndex, gram, l1
from meancache_plan.errors import InputError, MergeError, ProfileError
from meancache_plan.files import write_atomically
from meancache_plan.settings import ProfileSettings
from meancache_plan.wording import first_reason
from meancache_runtime import strict_json
from meancache_runtime.errors import ScheduleError

METADATA = "meancache-profile"
"""The only metadata entry of a profile file."""

TENSORS = {
    "sample_index": np.dtype("int64"),
    "prompt_index": np.dtype("int64"),
    "seeds": np.dtype("int64"),
    "grams": np.dtype("float64"),
    "l1": np.dtype("float32"),
    "seconds": np.dtype("float64"),
}
"""The tensors of a profile file."""

CODES = {"I64": np.dtype("int64"), "F64": np.dtype("float64"), "F32": np.dtype("float32")}


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    version: Literal[1] = 1
    settings: ProfileSettings


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Measurements of S samples.

    Attributes:
        settings: What was measured, and how.
        sample_index: int64 [S], ascending: places among all samples, prompt by prompt.
        prompt_index: int64 [S], places of the samples' prompts in the prompt list.
        seeds: int64 [S].
        grams: float64 [S, T, T], inner products of the velocities of each sample.
        l1: float32 [S, n], mean|u − û| for each triple of ``settings.index``.
        seconds: float64 [S], mean seconds a step of each sample.

    Raises:
        ProfileError: A shape, dtype, order or value is wrong.
    """

    settings: ProfileSettings
    sample_index: NDArray[np.int64]
    prompt_index: NDArray[np.int64]
    seeds: NDArray[np.int64]
    grams: NDArray[np.float64]
    l1: NDArray[np.float32]
    seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse what no calibration measures."""
        tails = {"grams": (self.steps, self.steps), "l1": (len(self.index),)}
        for name, tensor in self.tensors().items():
            _check_tensor(name, tensor, (self.samples, *tails.get(name, ())))
        if self.samples == 0:
            raise ProfileError("sample_index: there are no samples")
        if (np.diff(self.sample_index) <= 0).any():
            raise ProfileError("sample_index: must be strictly ascending")
        if self.sample_index[0] < 0 or self.sample_index[-1] >= self.settings.samples_total:
            raise ProfileError(
                f"sample_index: out of range: 0 to {self.settings.samples_total - 1}"
            )
        if (self.grams != self.grams.swapaxes(1, 2)).any():
            raise ProfileError("grams: must be symmetric")
        for name in ("l1", "seconds"):
            if (getattr(self, name) < 0).any():
                raise ProfileError(f"{name}: must not be negative")

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in TENSORS}

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The grid, T + 1 noise levels."""
        return self.settings.sigmas

    @property
    def steps(self) -> int:
        """Number of sampler steps T."""
        return self.settings.steps

    @property
    def numel(self) -> int:
        """Elements N of one sample's latents."""
        return self.settings.numel

    @property
    def index(self) -> EdgeIndex:
        """The triples (t, s, K) of the columns of ``l1``."""
        return self.settings.index

    @property
    def samples(self) -> int:
        """Number of samples S."""
        return self.sample_index.size

    @property
    def missing(self) -> tuple[int, ...]:
        """The samples of the calibration that are not in this profile."""
        here = set(self.sample_index.tolist())
        return tuple(i for i in range(self.settings.samples_total) if i not in here)

    @property
    def seconds_per_step(self) -> float:
        """Median over the samples of the seconds a step took."""
        return float(np.median(self.seconds))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything but timings and library versions, ``sha256:`` and hexadecimal."""
        digest = hashlib.sha256(_canonical(self.settings.model_dump(exclude={"versions"})))
        for name, tensor in self.tensors().items():
            if name != "seconds":
                little_endian = tensor.astype(tensor.dtype.newbyteorder("<"))
                digest.update(name.encode() + little_endian.tobytes())
        return f"sha256:{digest.hexdigest()}"


class SampleMeasurement(NamedTuple):
    """One trajectory's share of a profile."""

    gram: NDArray[np.float64]
    l1: NDArray[np.float32]


def measure(velocities: Tensor, sigmas: Sequence[float], index: EdgeIndex) -> SampleMeasurement:
    """Measure one trajectory.

    Args:
        velocities: [T, ...], the velocity at each step, any floating dtype and device.
        sigmas: The grid, T + 1 values.
        index: The triples (t, s, K) whose L1 deviations to measure.

    Raises:
        InputError: The shape does not fit the grid, or a velocity is not finite.
    """
    if len(velocities) != index.steps or len(sigmas) != index.steps + 1:
        raise InputError(f"{len(velocities)} velocities for {len(sigmas)} noise levels")
    sample = SampleMeasurement(gram(velocities), l1(velocities, sigmas, index))
    if not all(np.isfinite(values).all() for values in sample):
        raise InputError("a velocity is not finite: the model overflows; try another dtype")
    return sample


def save_profile(profile: Profile, path: str | os.PathLike[str]) -> None:
    """Write a profile file at once, never half of it.

    Raises:
        InputError: The path cannot be written.
    """
    header = _canonical(_Header(settings=profile.settings).model_dump()).decode()
    tensors = {name: np.ascontiguousarray(value) for name, value in profile.tensors().items()}
    write_atomically(Path(path), safetensors.numpy.save(tensors, {METADATA: header}))


def load_profile(path: str | os.PathLike[str]) -> Profile:
    """Read and validate a profile file.

    Raises:
        ProfileError: The file is missing or not a valid profile; says what is wrong with it.
    """
    file = Path(path)
    if not file.is_file():
        raise ProfileError(f"{file}: no such file; make one with `meancache-plan calibrate`")
    try:
        return _read(file)
    except (ProfileError, ScheduleError) as error:
        raise ProfileError(f"{file}: {error}; calibrate again") from error
    except ValidationError as error:
        reason = first_reason(error, "metadata")
        raise ProfileError(f"{file}: {reason}; calibrate again") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise ProfileError(
            f"{file}: not a readable safetensors file ({error}); calibrate again"
        ) from error


def _read(file: Path) -> Profile:
    with safetensors.safe_open(file, framework="numpy") as stored:
        metadata: dict[str, str] = stored.metadata() or {}
        _check_names("metadata entry", metadata, (METADATA,))
        _check_names("tensor", stored.keys(), TENSORS)
        for name, dtype in TENSORS.items():
            code = stored.get_slice(name).get_dtype()
            if CODES.get(code) != dtype:
                raise ProfileError(f"{name}: has dtype {code}, must be {dtype}")
        strict_json.decode(metadata[METADATA].encode())
        header = _Header.model_validate_json(metadata[METADATA])
        return Profile(header.settings, **{name: stored.get_tensor(name) for name in TENSORS})


def merge_profiles(profiles: Sequence[Profile]) -> Profile:
    """Join the shards of one calibration; ``missing`` of the result tells what is not there.

    Raises:
        MergeError: There is none, settings differ, or a sample is in two of them.
    """
    if not profiles:
        raise MergeError("nothing to merge: give at least one profile")
    first = dict(_leaves(profiles[0].settings.model_dump()))
    for number, profile in enumerate(profiles[1:], start=2):
        other = dict(_leaves(profile.settings.model_dump()))
        for field in first | other:
            mine, theirs = first.get(field, "absent"), other.get(field, "absent")
            if mine != theirs:
                raise MergeError(
                    f"{field}: {mine!r} in profile 1, but {theirs!r} in profile {number}; "
                    "merge only shards of one calibration"
                )
    joined = {
        name: np.concatenate([profile.tensors()[name] for profile in profiles]) for name in TENSORS
    }
    samples, counts = np.unique(joined["sample_index"], return_counts=True)
    if (counts > 1).any():
        twice = ", ".join(map(str, samples[counts > 1][:10]))
        raise MergeError(f"sample_index: samples {twice} are in more than one profile")
    order = np.argsort(joined["sample_index"])
    return Profile(profiles[0].settings, **{name: joined[name][order] for name in TENSORS})


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the plain values in nested settings, each with its full name."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value:
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}[{i}]")
    else:
        yield name, value


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _check_names(kind: str, found: Collection[str], known: Collection[str]) -> None:
    for name in known:
        if name not in found:
            raise ProfileError(f"{kind} {name!r} is missing")
    for name in found:
        if name not in known:
            raise ProfileError(f"unknown {kind} {name!r}")


def _check_tensor(name: str, tensor: NDArray[Any], shape: tuple[int, ...]) -> None:
    if tensor.dtype != TENSORS[name]:
        raise ProfileError(f"{name}: has dtype {tensor.dtype}, must be {TENSORS[name]}")
    if tensor.shape != shape:
        raise ProfileError(f"{name}: has shape {list(tensor.shape)}, must be {list(shape)}")
    if not np.isfinite(tensor).all():
        raise ProfileError(f"{name}: must be finite")
