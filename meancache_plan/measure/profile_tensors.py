"""The tensors of a profile: their names and dtypes, and what no calibration can have measured."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meancache_plan.errors import ProfileError
from meancache_plan.measure.profile_settings import ProfileSettings

TENSORS = {
    "sample_index": np.dtype("int64"),
    "prompt_index": np.dtype("int64"),
    "seeds": np.dtype("int64"),
    "grams": np.dtype("float64"),
    "l1": np.dtype("float32"),
    "seconds": np.dtype("float64"),
    "moments": np.dtype("float64"),
    "propagation_sigmas": np.dtype("float64"),
    "propagation_index": np.dtype("int64"),
    "propagation": np.dtype("float64"),
}
"""Name → dtype, in the order of the file; see :class:`meancache_plan.measure.profile.Profile`."""

CODES = {"I64": np.dtype("int64"), "F64": np.dtype("float64"), "F32": np.dtype("float32")}
"""The dtypes that safetensors files name so."""

Tensors = Mapping[str, NDArray[Any]]


def check_names(kind: str, found: Collection[str], known: Collection[str]) -> None:
    """Refuse names that are missing or unknown. Raises ProfileError."""
    for name in known:
        if name not in found:
            raise ProfileError(f"{kind} {name!r} is missing")
    for name in found:
        if name not in known:
            raise ProfileError(f"unknown {kind} {name!r}")


def check_tensors(settings: ProfileSettings, tensors: Tensors) -> None:
    """Refuse tensors that do not fit each other or their settings. Raises ProfileError."""
    shapes = _shapes(settings, tensors)
    for name, tensor in tensors.items():
        _check_one(name, tensor, shapes[name])
    if tensors["sample_index"].size == 0:
        raise ProfileError("sample_index: there are no samples")
    _check_ascending("sample_index", tensors["sample_index"])
    if tensors["sample_index"][0] < 0 or tensors["sample_index"][-1] >= settings.samples_total:
        raise ProfileError(f"sample_index: out of range: 0 to {settings.samples_total - 1}")
    if (tensors["grams"] != tensors["grams"].swapaxes(1, 2)).any():
        raise ProfileError("grams: must be symmetric")
    for name in ("l1", "seconds"):
        if (tensors[name] < 0).any():
            raise ProfileError(f"{name}: must not be negative")
    _check_moments(tensors["moments"])
    _check_propagation(settings, tensors)


def _shapes(settings: ProfileSettings, tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """The shape that each tensor must have, by name."""
    samples, measured = tensors["sample_index"].size, tensors["propagation_index"].size
    levels, columns = tensors["propagation_sigmas"].size, settings.columns
    return dict.fromkeys(TENSORS, (samples,)) | {
        "grams": (samples, columns, columns),
        "l1": (samples, len(settings.index) if settings.transferred_from is None else 0),
        "moments": (samples, 2),
        "propagation_sigmas": (levels,),
        "propagation_index": (measured,),
        "propagation": (measured, levels),
    }


def _check_one(name: str, tensor: NDArray[Any], shape: tuple[int, ...]) -> None:
    if tensor.dtype != TENSORS[name]:
        raise ProfileError(f"{name}: has dtype {tensor.dtype}, must be {TENSORS[name]}")
    if tensor.shape != shape:
        raise ProfileError(f"{name}: has shape {list(tensor.shape)}, must be {list(shape)}")
    if not np.isfinite(tensor).all():
        raise ProfileError(f"{name}: must be finite")


def _check_moments(moments: NDArray[np.float64]) -> None:
    """Refuse a mean whose square exceeds the mean square by more than rounding."""
    if (moments[:, 0] ** 2 > moments[:, 1] * (1 + 1e-9)).any():
        raise ProfileError("moments: a mean square is less than the mean's square")


def _check_propagation(settings: ProfileSettings, tensors: Tensors) -> None:
    """Refuse measurements of no known place, of no known sample, or without a logarithm."""
    levels, measured = tensors["propagation_sigmas"], tensors["propagation_index"]
    falls = settings.sigmas[0] > settings.sigmas[-1]
    if (np.diff(levels) * (-1 if falls else 1) <= 0).any():
        raise ProfileError("propagation_sigmas: must be strictly monotone, in the grid's order")
    _check_ascending("propagation_index", measured)
    if not np.isin(measured, tensors["sample_index"]).all():
        raise ProfileError("propagation_index: names a sample that is not in sample_index")
    if measured.size and not levels.size:
        raise ProfileError("propagation_index: measured at no noise level")
    if levels.size and not settings.propagation:
        raise ProfileError("propagation_sigmas: measured although settings.propagation is off")
    if (tensors["propagation"] <= 0).any():
        raise ProfileError("propagation: must be positive")


def _check_ascending(name: str, tensor: NDArray[Any]) -> None:
    if (np.diff(tensor) <= 0).any():
        raise ProfileError(f"{name}: must be strictly ascending")
