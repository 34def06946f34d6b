"""Sample pictures for the page, as fine as the size of the file allows."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from meancache_plan.errors import InputError
from meancache_plan.evaluate.samples import Cached, Samples, from_levels, to_levels
from meancache_plan.report.html.choice import Chosen, choose

GAINS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Factors by which the page amplifies differences."""


class Fineness(NamedTuple):
    """Greatest side of pictures and of error maps in pixels, and WebP quality; None: no loss."""

    side: int
    map_side: int
    quality: int | None


LADDER = (
    Fineness(512, 512, None),
    Fineness(512, 256, 90),
    Fineness(384, 192, 85),
    Fineness(256, 128, 80),
    Fineness(192, 96, 75),
    Fineness(128, 64, 70),
    Fineness(64, 32, 60),
)
"""From the finest: the first that fits is taken."""


def picture_data(samples: Samples, allowance: int) -> dict[str, Any] | None:
    """Pictures of typical, best and worst prompts, in at most ``allowance`` bytes of JSON.

    Returns:
        None if the folder has no pictures of plans.

    Raises:
        InputError: A picture cannot be read, or even the coarsest do not fit.
    """
    chosen = choose(samples.samples)
    if not chosen:
        return None
    # Beside the pictures stands less than the manifest says of them, with every character escaped.
    allowance -= 1000 + sum(6 * len(sample.model_dump_json()) for _, sample in chosen)
    for fineness in LADDER:
        entries = _encoded(samples.folder, chosen, fineness, allowance)
        if entries is not None:
            size = _open(samples.folder / chosen[0].sample.full).size
            return {
                "entries": entries,
                "width": size[0],
                "height": size[1],
                "prompts": len(samples.samples),
                "gains": GAINS,
                "gain": _usual_gain(samples.folder, chosen),
                "note": _note(size, fineness),
            }
    raise InputError(
        f"{samples.folder}: the pictures do not fit into the report: evaluate fewer budgets"
    )


def _encoded(
    folder: Path, chosen: Sequence[Chosen], fineness: Fineness, allowance: int
) -> list[dict[str, Any]] | None:
    """One record a prompt; None as soon as they take more than ``allowance`` bytes."""
    found: list[dict[str, Any]] = []
    for group, sample in chosen:
        cached = [_encode_cached(folder, entry, fineness) for entry in sample.cached]
        full = _encode(_shrunk(_open(folder / sample.full).convert("RGB"), fineness.side), fineness)
        allowance -= len(full) + sum(len(c["picture"]) + len(c["error"]) for c in cached)
        if allowance < 0:
            return None
        found.append(
            {
                "group": group,
                "prompt": sample.prompt,
                "seed": sample.seed,
                "full": full,
                "cached": cached,
            }
        )
    return found


def _encode_cached(folder: Path, cached: Cached, fineness: Fineness) -> dict[str, Any]:
    picture = _shrunk(_open(folder / cached.picture).convert("RGB"), fineness.side)
    levels = _shrunk_map(_levels(folder / cached.error), fineness.map_side)
    return {
        "budget": cached.budget,
        "psnr": cached.psnr,
        "picture": _encode(picture, fineness),
        "error": _encode(Image.fromarray(levels), fineness),
    }


def _open(file: Path) -> Image.Image:
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            picture.load()
            return picture
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: not a readable PNG picture ({error}); evaluate again") from error


def _levels(file: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(_open(file).convert("L"))


def _shrunk(picture: Image.Image, side: int) -> Image.Image:
    smaller = picture.copy()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
    return smaller


def _shrunk_map(levels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """A smaller map: root mean square of the errors that fall into each pixel."""
    share = side / max(levels.shape)
    if share >= 1:
        return levels
    height, width = (max(round(n * share), 1) for n in levels.shape)
    squares = Image.fromarray((from_levels(levels) ** 2).astype(np.float32))
    return to_levels(np.sqrt(np.asarray(squares.resize((width, height), Image.Resampling.BOX))))


def _encode(picture: Image.Image, fineness: Fineness) -> str:
    """Base64 of a WebP picture."""
    stream = io.BytesIO()
    if fineness.quality is None:
        picture.save(stream, format="WEBP", lossless=True, method=4)
    else:
        picture.save(stream, format="WEBP", quality=fineness.quality, method=4)
    return base64.b64encode(stream.getvalue()).decode()


def _usual_gain(folder: Path, chosen: Sequence[Chosen]) -> int:
    """The gain that shows the differences of typical prompts at the smallest budget."""
    smallest = min(cached.budget for _, sample in chosen for cached in sample.cached)
    large = [
        float(np.quantile(from_levels(_levels(folder / cached.error)), 0.99))
        for _, sample in chosen
        for cached in sample.cached
        if cached.budget == smallest
    ]
    usual = float(np.median(large))
    return max((gain for gain in GAINS if gain * usual <= 1), default=1)


def _note(size: tuple[int, int], fineness: Fineness) -> str:
    width, height = size
    if fineness.quality is None and max(size) <= fineness.side:
        return f"Pictures are shown as they were made, {width} × {height} pixels."
    share = min(fineness.side / max(size), 1.0)
    shown = f"{math.ceil(width * share)} × {math.ceil(height * share)}"
    how = "reduced" if share < 1 else "shown"
    loss = "" if fineness.quality is None else " and compressed with some loss"
    return (
        f"Pictures of {width} × {height} pixels are {how} at {shown}{loss}, to keep this file "
        "small. Figures and differences were measured before that."
    )
