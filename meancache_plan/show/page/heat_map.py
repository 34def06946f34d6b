"""The heat map of a profile's deviations, small enough for a page."""

import base64
import math
from typing import Any

import numpy as np

from meancache_plan.measure.profile import Profile
from meancache_plan.show.landscape import Surface, hold_surfaces

MOST_CELLS = 200
"""Cells along one side; a longer grid's are averaged in blocks."""

DECADES = 3
"""Deviations are told apart down to this many powers of ten below the largest."""


def heat_data(profile: Profile) -> dict[str, Any] | None:
    """Levels 1 … 255 of the mean deviation of ``hold``, by its logarithm; 0: not measured.

    Row t, column s − 1, for intervals t→s. None if the profile holds no deviations.
    """
    if not profile.has_l1:
        return None
    block = math.ceil(profile.steps / MOST_CELLS)
    surface = _pooled(hold_surfaces(profile).mean(axis=0)[:, 1:], block)
    positive = surface[surface > 0]
    high = float(positive.max(initial=1e-12))
    low = max(float(positive.min(initial=high)), high * 10.0**-DECADES)
    span = math.log(high / low) or 1.0
    share = np.log(np.maximum(surface, low) / low) / span
    levels = np.where(surface > 0, 1 + np.round(254 * share), 0).astype(np.uint8)
    return {
        "side": len(levels),
        "block": block,
        "low": low,
        "high": high,
        "levels": base64.b64encode(levels.tobytes()).decode(),
        "samples": profile.samples,
        "longest": profile.settings.max_edge,
    }


def _pooled(surface: Surface, block: int) -> Surface:
    """Means of what was measured in each block; 0 where nothing was, or nothing deviates."""
    side = math.ceil(len(surface) / block)
    whole = np.full((side * block, side * block), np.nan)
    whole[: len(surface), : len(surface)] = surface
    blocks = whole.reshape(side, block, side, block).swapaxes(1, 2).reshape(side, side, -1)
    known = ~np.isnan(blocks)
    return np.where(known, blocks, 0.0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
