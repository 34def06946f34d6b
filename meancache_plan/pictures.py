"""Samples to look at, as PNG files: single, side by side, or as a sheet."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from meancache_plan.errors import InputError
from meancache_plan.evaluation import Shot
from meancache_plan.files import write_atomically

Frames = npt.NDArray[np.float32]
"""Pictures [F, height, width, 3], 0 … 1; F = 1 for an image."""

TILE = 256
"""Smaller pictures are enlarged, by whole factors, to about this many pixels."""

_GAP = 8
_AMPLIFICATIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def check_output(path: Path) -> Path:
    """Return ``path`` if a picture can be written there; ask before the work, not after.

    Raises:
        InputError: The name does not end in .png, or its directory is missing.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: pictures are written as PNG: give a name that ends in .png")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the directory {path.parent} does not exist")
    return path


def save_frames(frames: Frames, path: Path) -> None:
    """Write an image at its true size; of a video the first, middle and last frame in a row.

    Raises:
        InputError: ``path`` cannot be written.
    """
    _save(np.concatenate(_shown(frames), axis=1), path)
