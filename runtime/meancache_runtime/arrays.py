"""The few things that differ between array libraries, none of which is imported here.

Replay itself needs ``+`` and ``*`` alone, so that it runs on the arrays of torch, NumPy, JAX and
MLX, and on plain numbers. What is narrower than float32 is widened before it is kept.
"""

import sys
from typing import Any

Array = Any
"""A floating-point array of any library, or a number."""

NARROW = ("float16", "bfloat16", "float8")
"""Parts of the names of dtypes that are narrower than float32."""


def widened(array: Array) -> Array:
    """A copy in float32, or in the array's own dtype where that is as wide.

    Example:
        >>> widened(0.5)
        0.5
    """
    if not hasattr(array, "dtype"):
        return array
    narrow = any(name in str(array.dtype) for name in NARROW)
    if hasattr(array, "clone"):  # torch
        return array.float() if narrow else array.clone()
    return array.astype(_float32(array)) if narrow else array * 1


def like(array: Array, model: Array) -> Array:
    """``array`` in the dtype of ``model``."""
    if not hasattr(model, "dtype") or array.dtype == model.dtype:
        return array
    return array.to(model.dtype) if hasattr(array, "clone") else array.astype(model.dtype)


def copied(array: Array) -> Array:
    """A copy that its maker cannot change in place."""
    return array.clone() if hasattr(array, "clone") else array * 1


def _float32(array: Array) -> Any:
    """The name of float32 that the array's library knows: MLX takes no strings."""
    library = sys.modules[type(array).__module__]
    return library.float32 if type(array).__module__.startswith("mlx") else "float32"
