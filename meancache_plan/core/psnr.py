"""How large latents are: the scale that errors of latents are judged by."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.errors import InputError

LATENT_RANGE = 4.0
"""The value range for the PSNR of latents, in standard deviations of the full ones."""

CEILING = 120.0
"""PSNR of identical samples, and of any that differ by less, in dB: infinity is not JSON."""


def moments(latents: Tensor) -> tuple[float, float]:
    """Mean and mean square of one sample's latents, in float64."""
    wide = latents.double()
    return float(wide.mean()), float(wide.square().mean())


def latent_range(samples: Sequence[tuple[float, float]]) -> float:
    """Value range of latents: four standard deviations of all samples' elements, pooled.

    Args:
        samples: Each full sample's :func:`moments`; all have one number of elements.
    """
    mean, square = np.mean(np.array(samples), axis=0)
    return LATENT_RANGE * math.sqrt(max(square - mean**2, 0.0))


def mean_square(full: Tensor, other: Tensor) -> float:
    """Mean squared difference in float64, of tensors of one shape.

    Raises:
        InputError: The shapes differ.
    """
    if full.shape != other.shape:
        raise InputError(
            f"latents of shape {list(other.shape)} cannot be compared with {list(full.shape)}: "
            "make both the same size"
        )
    return float((full.double() - other.double()).square().mean())


def psnr(error: float, value_range: float) -> float:
    """Peak signal-to-noise ratio, 10·log₁₀(range² / mean squared error), in dB.

    Args:
        error: Mean squared error, ≥ 0.
        value_range: The signal's range, > 0.

    Returns:
        At most ``CEILING``, 120 dB.

    Raises:
        InputError: An argument is out of range or not finite.

    Example:
        >>> psnr(0.01, 1.0)
        20.0
    """
    if not (0.0 <= error < math.inf and 0.0 < value_range < math.inf):
        raise InputError(f"no PSNR from the error {error} and the range {value_range}")
    least = value_range**2 * 10 ** (-CEILING / 10)
    return CEILING if error <= least else 10 * math.log10(value_range**2 / error)


def decibels(full: Tensor, made: Tensor) -> NDArray[np.float64]:
    """PSNR of each sample's latents in dB, float64 [n]; the range is that of all full ones.

    Args:
        full: Latents [n, …] that are aimed at.
        made: Those that were reached, of the same shape.

    Raises:
        InputError: The shapes differ, or latents are constant or not finite.
    """
    value_range = latent_range([moments(each) for each in full])
    pairs = zip(full, made, strict=True)
    return np.array([psnr(mean_square(*pair), value_range) for pair in pairs])
