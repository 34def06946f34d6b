"""How large latents are: the scale that errors of latents are judged by."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

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
