"""Sample pictures for the page, as fine as the size of the file allows."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.Image import DecompressionBombError

from meancache_plan.errors import InputError
from meancache_plan.judge.sample_folder import (
    COUNT,
    FRAMES,
    Level,
    Samples,
    from_levels,
    to_levels,
)
from meancache_plan.show.page.prompt_choice import Chosen, choose

GAINS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Factors by which the page amplifies differences."""


SIDES = (512, 384, 256, 128, 64)
"""Greatest side of pictures in pixels, from the finest: the first that fits is taken.

The finest are compressed without loss; the others have error maps of half the side. (A fixed side
would make a page of 25 budgets too large to mail, or blur that of one.)
"""

FINEST = SIDES[0]


class _CachedShot(NamedTuple):
    """A plan's frames and the grey levels of their errors, no finer than the finest side."""

    budget: int
    psnr: float
    frames: list[Image.Image]
    levels: list[Level]


class _Entry(NamedTuple):
    """One prompt's pictures, read: a single frame, or a video's."""

    chosen: Chosen
    full: list[Image.Image]
    cached: list[_CachedShot]


def picture_data(samples: Samples, allowance: int) -> dict[str, Any] | None:
    """Pictures of typical, best and worst prompts, in at most ``allowance`` bytes of JSON.

    Returns:
        None if the folder has no pictures of plans, or even the coarsest do not fit.

    Raises:
        InputError: A picture cannot be read.
    """
    entries = [_read(samples.folder, chosen) for chosen in choose(samples.samples)]
    if not entries:
        return None
    size = _open(samples.folder / entries[0].chosen.sample.full)[0].size
    for side in SIDES:
        encoded = _encoded(entries, side, allowance)
        if encoded is not None:
            return {
                "entries": encoded,
                "width": size[0],
                "height": size[1],
                "frames": len(entries[0].full),
                "prompts": len(samples.samples),
                "gains": GAINS,
                "gain": _usual_gain(entries),
                "note": _note(size, side, len(entries[0].full)),
            }
    return None


def _read(folder: Path, chosen: Chosen) -> _Entry:
    cached = [
        _CachedShot(
            shot.budget,
            shot.psnr,
            [_shrunk(frame.convert("RGB"), FINEST) for frame in _open(folder / shot.picture)],
            [
                _shrunk_map(np.asarray(frame.convert("L")), FINEST)
                for frame in _open(folder / shot.error)
            ],
        )
        for shot in chosen.sample.cached
    ]
    full = [_shrunk(frame.convert("RGB"), FINEST) for frame in _open(folder / chosen.sample.full)]
    return _Entry(chosen, full, cached)


def _encoded(entries: Sequence[_Entry], side: int, allowance: int) -> list[dict[str, Any]] | None:
    """One record per prompt; None as soon as they take more than ``allowance`` bytes."""
    found: list[dict[str, Any]] = []
    # Beside the pictures stands less than the manifest says of them, with every character escaped.
    allowance -= 1000 + sum(6 * len(entry.chosen.sample.model_dump_json()) for entry in entries)
    for (group, sample), full, shots in entries:
        cached = [_encode_cached(shot, side) for shot in shots]
        picture = _encode([_shrunk(frame, side) for frame in full], side)
        allowance -= len(picture) + sum(len(c["picture"]) + len(c["error"]) for c in cached)
        if allowance < 0:
            return None
        words = {"group": group, "prompt": sample.prompt, "seed": sample.seed}
        found.append({**words, "full": picture, "cached": cached})
    return found


def _encode_cached(shot: _CachedShot, side: int) -> dict[str, Any]:
    reduced = side if side == FINEST else side // 2
    levels = [Image.fromarray(_shrunk_map(each, reduced)) for each in shot.levels]
    return {
        "budget": shot.budget,
        "psnr": shot.psnr,
        "picture": _encode([_shrunk(frame, side) for frame in shot.frames], side),
        "error": _encode(levels, side),
    }


def _open(file: Path) -> list[Image.Image]:
    """The frames of a file: of a video they lie in it one below the other."""
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            picture.load()
            count = int(picture.info.get(COUNT, "1"))
            height = picture.height // count
            if not 1 <= count <= FRAMES or height * count != picture.height:
                raise ValueError(f"it cannot hold {count} frames")
            return [
                picture.crop((0, height * i, picture.width, height * (i + 1))) for i in range(count)
            ]
    except (ArithmeticError, OSError, SyntaxError, ValueError, DecompressionBombError) as error:
        raise InputError(f"{file}: not a readable PNG picture ({error}); evaluate again") from error


def _shrunk(picture: Image.Image, side: int) -> Image.Image:
    smaller = picture.copy()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
    return smaller


def _shrunk_map(levels: Level, side: int) -> Level:
    """A smaller map: root mean square of the errors that fall into each pixel."""
    share = side / max(levels.shape)
    if share >= 1:
        return levels
    height, width = (max(round(n * share), 1) for n in levels.shape)
    squares = Image.fromarray((from_levels(levels) ** 2).astype(np.float32))
    return to_levels(np.sqrt(np.asarray(squares.resize((width, height), Image.Resampling.BOX))))


def _encode(frames: Sequence[Image.Image], side: int) -> str:
    """Base64 of a WebP picture: the frames one below the other."""
    stream, (width, height) = io.BytesIO(), frames[0].size
    strip = Image.new(frames[0].mode, (width, height * len(frames)))
    for i, frame in enumerate(frames):
        strip.paste(frame, (0, height * i))
    strip.save(stream, format="WEBP", lossless=side == FINEST, quality=80, method=4)
    return base64.b64encode(stream.getvalue()).decode()


def _usual_gain(entries: Sequence[_Entry]) -> int:
    """The gain that shows the differences of typical prompts at the smallest budget."""
    shots = [shot for entry in entries for shot in entry.cached]
    smallest = min(shot.budget for shot in shots)
    large = [
        float(np.quantile(from_levels(np.stack(shot.levels)), 0.99))
        for shot in shots
        if shot.budget == smallest
    ]
    usual = float(np.median(large))
    return max((gain for gain in GAINS if gain * usual <= 1), default=1)


def _note(size: tuple[int, int], side: int, frames: int) -> str:
    width, height = size
    shots = "Pictures" if frames == 1 else f"{frames} frames of each video"
    if side == FINEST and max(size) <= side:
        return f"{shots} are shown as they were made, {width} × {height} pixels."
    share = min(side / max(size), 1.0)
    shown = f"{math.ceil(width * share)} × {math.ceil(height * share)}"
    how = "reduced to" if share < 1 else "shown at"
    loss = "" if side == FINEST else " and compressed with some loss"
    return (
        f"{shots} of {width} × {height} pixels are {how} {shown}{loss}, to keep this file small. "
        "Figures and differences were measured before that."
    )
