"""The profile: what calibration measured, for ``solve`` to plan from, in one safetensors file.

The file holds the tensors of :mod:`meancache_plan.measure.profile_tensors` and one metadata entry,
``meancache-profile``: JSON with the format's version and the settings. Equal profiles give equal
bytes.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from meancache_plan.core.deviation import EdgeIndex, gram, l1
from meancache_plan.core.propagation import interpolated
from meancache_plan.core.psnr import latent_range
from meancache_plan.errors import InputError, ProfileError, check_kind
from meancache_plan.files.atomic import write_atomically
from meancache_plan.files.validation import first_reason
from meancache_plan.measure.profile_settings import ProfileSettings
from meancache_plan.measure.profile_tensors import CODES, TENSORS, check_names, check_tensors
from meancache_runtime import strict_json
from meancache_runtime.errors import ScheduleError

METADATA = "meancache-profile"
"""The only metadata entry of a profile file."""


_SPECIAL = {
    **{"batch": 1, "displaced": False, "replaces": None, "finer_steps": None, "switches": ()},
    "still_steps": 0,
    **dict.fromkeys(("negative_prompt", "attention", "quantisation", "settings", "calls")),
}
"""Settings that are left out of a fingerprint where they say that nothing is special, or known."""


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
        grams: float64 [S, T, T], inner products of the velocities of each sample; [S, 2T, 2T] if
            ``settings.displaced``: of these, and then of what its steps moved with instead.
        l1: float32 [S, n], mean|u − û| for each triple of ``settings.index``; [S, 0] if
            not ``has_l1``.
        seconds: float64 [S], mean seconds per step of each sample.
        moments: float64 [S, 2], mean and mean square of each sample's final latents z_T.
        propagation_sigmas: float64 [P], noise levels σ_s at which errors were put in, in the
            grid's order.
        propagation_index: int64 [M], ascending: which samples these errors were put into.
        propagation: float64 [M, P], > 0: propagation from there to σ_T, dimensionless.

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
    moments: NDArray[np.float64]
    propagation_sigmas: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    propagation_index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    propagation: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        """Refuse what no calibration measures."""
        check_tensors(self.settings, self.tensors())

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in TENSORS}

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The grid, T + 1 noise levels: of the steps that move the sample."""
        return self.settings.sigmas

    @property
    def steps(self) -> int:
        """Number of sampler steps T that move the sample."""
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
    def displacements(self) -> range:
        """The columns of ``grams`` that are what each step moved with."""
        return self.settings.displacements

    @property
    def switches(self) -> tuple[int, ...]:
        """Steps at which another denoiser takes over: every plan has a knot there."""
        return self.settings.switches

    def keeps_sampler(self, refreshes: int) -> bool:
        """Whether replay with so many refreshes is the replaced sampler's own run."""
        return self.settings.replaces is not None and refreshes == self.settings.run_steps

    @property
    def has_l1(self) -> bool:
        """Whether the L1 deviations were measured; on another grid's profile they cannot be."""
        return self.settings.transferred_from is None

    @property
    def has_propagation(self) -> bool:
        """Whether ``propagation_by_step`` was measured, on one sample at least."""
        return self.propagation.size > 0

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
    def refreshes(self) -> int:
        """Denoiser refreshes that measuring took: full runs, and those of propagation."""
        full = self.samples * (self.settings.finer_steps or self.settings.run_steps)
        places = np.abs(np.subtract.outer(self.propagation_sigmas, self.sigmas)).argmin(axis=1)
        runs = len(self.propagation_index) * (2 if self.settings.displaced else 1)
        return full + runs * int((self.steps - places).sum())

    @property
    def latent_range(self) -> float:
        """The range that the PSNR of latents refers to: 4 standard deviations, pooled."""
        return latent_range([(mean, square) for mean, square in self.moments.tolist()])

    def propagation_by_step(self, quantile: float | None = None) -> NDArray[np.float64]:
        """Growth A(s) of an error made at step s, by σ_T: float64 [T + 1], dimensionless.

        The geometric mean over the measured samples; its logarithm is linear in σ between the
        measured noise levels, constant before the first, and 0 at σ_T.

        Args:
            quantile: Take this quantile over the samples instead, 0 … 1.

        Raises:
            InputError: Propagation was not measured.
        """
        return interpolated(self.sigmas, self.propagation_sigmas, self._log_propagation(quantile))

    def _log_propagation(self, quantile: float | None) -> NDArray[np.float64]:
        """Mean or quantile over the samples of log A at the measured noise levels, [P]."""
        if not self.has_propagation:
            raise InputError(
                "this profile does not know how errors propagate: calibrate with propagation, "
                "or with more samples"
            )
        logarithms = np.log(self.propagation)
        if quantile is None:
            return logarithms.mean(axis=0)
        return np.quantile(logarithms, quantile, axis=0)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what was measured, and on what, ``sha256:`` and hexadecimal.

        Timings, library versions, the command and how many steps were asked for do not enter.
        """
        told = self.settings.model_dump(exclude={"versions", "command", "num_inference_steps"})
        told = {k: v for k, v in told.items() if k not in _SPECIAL or v != _SPECIAL[k]}
        digest = hashlib.sha256(_canonical(told))
        for name, tensor in self.tensors().items():
            if name != "seconds":
                little_endian = tensor.astype(tensor.dtype.newbyteorder("<"))
                digest.update(name.encode() + little_endian.tobytes())
        return f"sha256:{digest.hexdigest()}"


class SampleMeasurement(NamedTuple):
    """One trajectory's share of a profile."""

    gram: NDArray[np.float64]
    l1: NDArray[np.float32]


def measure(columns: Tensor, sigmas: Sequence[float], index: EdgeIndex) -> SampleMeasurement:
    """Measure one trajectory.

    Args:
        columns: [T, ...], the velocity at each step, any floating dtype and device; or [2T, ...],
            these and what the steps moved with instead.
        sigmas: The grid, T + 1 values.
        index: The triples (t, s, K) whose L1 deviations to measure.

    Raises:
        InputError: The shape does not fit the grid, or a velocity is not finite.
    """
    if len(columns) not in (index.steps, 2 * index.steps) or len(sigmas) != index.steps + 1:
        raise InputError(f"{len(columns)} velocities for {len(sigmas)} noise levels")
    sample = SampleMeasurement(gram(columns), l1(columns, sigmas, index))
    if not all(np.isfinite(values).all() for values in sample):
        raise InputError("a velocity is not finite: the model overflows; try another dtype")
    return sample


def save_profile(profile: Profile, path: str | os.PathLike[str]) -> None:
    """Write a profile file at once, never half of it.

    Raises:
        InputError: The path cannot be written.
    """
    check_kind("profile", profile, Profile, "calibrate makes one")
    header = _canonical(_Header(settings=profile.settings).model_dump()).decode()
    tensors = {name: np.ascontiguousarray(value) for name, value in profile.tensors().items()}
    write_atomically(Path(path), safetensors.numpy.save(tensors, {METADATA: header}))


def load_profile(path: str | os.PathLike[str]) -> Profile:
    """Read and validate a profile file.

    Raises:
        ProfileError: The file is missing or not a valid profile; says what is wrong with it.
    """
    file = Path(path)
    if not os.path.isfile(file):
        raise ProfileError(f"{file}: no such file; make one with `meancache-plan calibrate`")
    try:
        return _read(file)
    except (ProfileError, ScheduleError) as error:
        raise ProfileError(f"{file}: {error}; calibrate again") from error
    except ValidationError as error:
        reason = first_reason(error, "metadata")
        raise ProfileError(f"{file}: {reason}; calibrate again") from error
    except (OSError, safetensors.SafetensorError) as error:
        if _starts_as_json(file):
            raise ProfileError(
                f"{file}: looks like a schedule: give the profile that calibrate wrote"
            ) from error
        raise ProfileError(
            f"{file}: not a readable safetensors file ({error}); calibrate again"
        ) from error


def _starts_as_json(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(1) == b"{"
    except OSError:
        return False


def _read(file: Path) -> Profile:
    with safetensors.safe_open(file, framework="numpy") as stored:
        metadata: dict[str, str] = stored.metadata() or {}
        check_names("metadata entry", metadata, (METADATA,))
        check_names("tensor", stored.keys(), TENSORS)
        for name, dtype in TENSORS.items():
            code = stored.get_slice(name).get_dtype()
            if CODES.get(code) != dtype:
                raise ProfileError(f"{name}: has dtype {code}, must be {dtype}")
        strict_json.decode(metadata[METADATA].encode())
        header = _Header.model_validate_json(metadata[METADATA])
        return Profile(header.settings, **{name: stored.get_tensor(name) for name in TENSORS})


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
