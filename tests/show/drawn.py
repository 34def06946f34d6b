"""Pictures to draw, and pictures that were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from meancache_plan.judge.findings import Shot


def shots() -> tuple[Shot, ...]:
    rng = np.random.default_rng(0)
    kinds: list[tuple[str, int]] = [("full", 12), ("plan", 3), ("fewer-steps", 3)]
    return tuple(
        Shot(prompt, 0, method, budget, budget, 30.0, rng.random((1, 64, 64, 3), dtype=np.float32))
        for prompt in ("red fox", "a very long prompt that has to be wrapped in its margin")
        for method, budget in kinds
    )


def opened(path: Path) -> np.ndarray:
    """The picture, after checking that it is a PNG with something drawn on it."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5
    return pixels
