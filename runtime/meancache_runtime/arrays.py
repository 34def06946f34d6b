"""The few things that differ between array libraries, none of which is imported here.

Replay itself needs ``+`` and ``*`` alone, so that it runs on the arrays of torch, NumPy, JAX and
MLX, and on plain numbers. What is narrower than float32 is widened before it is kept.
"""

import sys
from collections.abc import Iterable, Sequence
from math import inf, prod
from typing import Any

Array = Any
"""A floating-point array of any library, or a number."""

NARROW = ("float16", "bfloat16", "float8")
"""Parts of the names of dtypes that are narrower than float32."""


TINY = 1e-30
"""Keeps 0/0 at 0; squares of velocities are far above it, and it exists in float32."""


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


def wide(array: Array) -> Array:
    """The array itself where it is as wide as float32, else a copy that is.

    Example:
        >>> wide(0.5)
        0.5
    """
    narrow = any(name in str(getattr(array, "dtype", "")) for name in NARROW)
    return widened(array) if narrow else array


def like(array: Array, model: Array) -> Array:
    """``array`` in the dtype of ``model``."""
    if not hasattr(model, "dtype") or array.dtype == model.dtype:
        return array
    return array.to(model.dtype) if hasattr(array, "clone") else array.astype(model.dtype)


def elements(array: Array) -> int:
    """How many numbers one sample has: an entry of the first axis, or an array of one axis.

    Example:
        >>> elements([0.5, 0.25])
        2
    """
    shape = getattr(array, "shape", None)
    return prod(shape[1:] if len(shape) > 1 else shape) if shape else _length(array)


def _length(array: Array) -> int:
    return len(array) if hasattr(array, "__len__") else 1


def copied(array: Array) -> Array:
    """A copy that its maker cannot change in place."""
    return array.clone() if hasattr(array, "clone") else array * 1


def is_awaited(array: Array) -> bool:
    """Whether to read its values is to wait for an accelerator of torch's.

    Example:
        >>> is_awaited(0.5)
        False
    """
    return getattr(getattr(array, "device", None), "type", "cpu") != "cpu"


def is_finite(array: Array) -> bool:
    """Whether no entry is NaN or infinite, for which an accelerator is waited for.

    Nothing is known, and True returned, of values that do not exist yet: those of a function that
    JAX or MLX traces, or ``torch.func.vmap`` batches.

    Example:
        >>> is_finite(0.5), is_finite(inf), is_finite([0.5, -inf])
        (True, False, False)
    """
    return is_true(finiteness(array))


def finiteness(array: Array) -> Array:
    """Whether no entry is NaN or infinite, as a number that is not read yet: one reduction."""
    if hasattr(array, "__iter__") and not hasattr(array, "dtype"):
        return all(map(is_finite, array))
    inside = (array > -inf) & (array < inf)
    return inside.all() if hasattr(inside, "all") else inside


def is_true(number: Array) -> bool:
    """Read a number; True where it does not exist yet."""
    try:
        return bool(number)
    except (RuntimeError, TypeError, ValueError):  # as each of these libraries refuses to say
        return True


def broken_samples(array: Array) -> list[int]:
    """Which entries of an array's first axis are not finite; none if it has that axis alone."""
    if getattr(array, "ndim", 0) < 2:
        return []
    return [i for i, sample in enumerate(array) if not is_finite(sample)]


def largest_share(
    pairs: Iterable[tuple[Sequence[float], Sequence[float]]],
) -> tuple[float, int]:
    """The largest ‖part‖ / ‖whole‖ of all samples, of pairs of their squares, and whose.

    Several pairs are parts of the same samples, summed. 0 of nothing but zeros, or of nothing.

    Example:
        >>> largest_share([([0.25, 1.0], [4.0, 4.0])]), largest_share([([0.0], [0.0])])
        ((0.5, 1), (0.0, 0))
    """
    parts, wholes = ([*map(sum, zip(*each, strict=True))] for each in zip(*pairs, strict=True))
    shares = [part / (whole + TINY) for part, whole in zip(parts, wholes, strict=True)]
    largest = max(shares, default=0.0)
    return largest**0.5, shares.index(largest) if shares else 0


def squares(array: Array) -> Array:
    """Sums of squares, one a sample, that are not read yet.

    Samples are the entries of the first axis; an array of one axis is one sample.
    """
    square = array * array
    if not hasattr(square, "sum"):
        return square
    return square.sum(axis=tuple(range(1, square.ndim))) if square.ndim > 1 else square.sum()


def listed(numbers: Array) -> list[float]:
    """Read some numbers, for which an accelerator is waited for.

    None are known, and nothing returned, of values that do not exist yet: see :func:`is_finite`.

    Example:
        >>> listed(squares(-0.5))
        [0.25]
    """
    try:
        found = numbers.tolist() if hasattr(numbers, "tolist") else numbers
    except (RuntimeError, TypeError, ValueError):  # as each of these libraries refuses to say
        return []
    return found if isinstance(found, list) else [found]


def _float32(array: Array) -> Any:
    """The name of float32 that the array's library knows: MLX takes no strings."""
    library = sys.modules[type(array).__module__]
    return library.float32 if type(array).__module__.startswith("mlx") else "float32"
