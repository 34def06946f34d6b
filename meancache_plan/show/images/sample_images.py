"""Samples to look at, as PNG files: single, side by side, or as a sheet."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable, write_atomically
from meancache_plan.judge.findings import Shot

Frames = npt.NDArray[np.float32]
"""Pictures [F, height, width, 3], 0 … 1; F = 1 for an image."""

PAIR_SIDE = 320
"""Side by side, pictures are enlarged by a whole factor to at most this many pixels."""

SHEET_SIDE = 192
"""On a sheet, pictures are enlarged so, or shrunk, to at most this many pixels."""

_GAP = 8
_LINE = 20
_INK, _PALE, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)
_AMPLIFICATIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def check_output(path: Path) -> Path:
    """Return ``path`` if a picture can be written there: ask before the work, not after.

    Raises:
        InputError: The name does not end in .png, or its directory is missing.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: pictures are written as PNG: give a name that ends in .png")
    check_writable(path)
    return path


def save_frames(frames: Frames, path: Path) -> None:
    """Write an image at its true size; of a video the first, middle and last frame in a row.

    Raises:
        InputError: ``path`` cannot be written.
    """
    _save(_picture(np.concatenate(frames[_chosen(frames)], axis=1)), path)


def side_by_side(full: Frames, cached: Frames, labels: tuple[str, str], path: Path) -> None:
    """Write full | cached | their absolute difference, amplified as its label says.

    Of a video, the first, middle and last frame, in three rows.

    Args:
        full: Frames of the full run.
        cached: Frames of the cached run, of the same shape.
        labels: What to write above the first two.
        path: The PNG file.

    Raises:
        InputError: The shapes differ, or ``path`` cannot be written.
    """
    if full.shape != cached.shape:
        raise InputError(f"frames of shape {full.shape} and {cached.shape} are not comparable")
    difference = np.abs(full - cached)
    large = float(np.quantile(difference, 0.99))
    factor = max((n for n in _AMPLIFICATIONS if n * large <= 1), default=1)
    third = f"difference × {factor}" if difference.any() else "difference: none"
    columns = (full, cached, difference * np.float32(factor))
    rows = [[_enlarged(frames[i], PAIR_SIDE) for frames in columns] for i in _chosen(full)]
    width, height = rows[0][0].size
    sheet = _Canvas(3 * (width + _GAP) + _GAP, _LINE + 2 * _GAP + len(rows) * (height + _GAP))
    for column, label in enumerate((*labels, third)):
        left = _GAP + column * (width + _GAP)
        sheet.write(label, left, _GAP, width)
        for row, pictures in enumerate(rows):
            sheet.image.paste(pictures[column], (left, _LINE + 2 * _GAP + row * (height + _GAP)))
    _save(sheet.image, path)


def contact_sheet(shots: Sequence[Shot], path: Path) -> None:
    """Write a sheet of samples: a row a prompt and seed, a column a method and budget.

    Beneath each picture stands its PSNR against the full one; of a video, the middle frame.

    Raises:
        InputError: ``shots`` is empty, or ``path`` cannot be written.
    """
    if not shots:
        raise InputError("no pictures were kept: evaluate with shots of at least one prompt")
    rows = list(dict.fromkeys((shot.prompt, shot.seed) for shot in shots))
    columns = list(dict.fromkeys((shot.method, shot.budget) for shot in shots))
    tiles = [_thumbnail(shot.frames[len(shot.frames) // 2], SHEET_SIDE) for shot in shots]
    width = max(max(tile.width for tile in tiles), 110) + _GAP
    height = max(tile.height for tile in tiles) + _LINE + _GAP
    margin, top = 150, 2 * _LINE + 2 * _GAP
    sheet = _Canvas(margin + len(columns) * width + _GAP, top + len(rows) * height)
    for shot, tile in zip(shots, tiles, strict=True):
        left = margin + columns.index((shot.method, shot.budget)) * width
        row = rows.index((shot.prompt, shot.seed))
        upper = top + row * height
        sheet.image.paste(tile, (left, upper))
        if left == margin:
            sheet.write_wrapped(shot.prompt, _GAP, upper, margin - 2 * _GAP, height // _LINE - 1)
        if row == 0:
            sheet.write(shot.method, left, _GAP, width - _GAP)
            sheet.write(f"{shot.calls} calls", left, _GAP + _LINE, width - _GAP, _PALE)
        if shot.method != "full":
            sheet.write(f"{shot.psnr:.1f} dB", left, upper + tile.height, width - _GAP, _PALE)
    _save(sheet.image, path)


class _Canvas:
    """White paper to paste pictures on and write between them."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), _PAPER)
        self._draw = ImageDraw.Draw(self.image)
        font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
        self._font = ImageFont.truetype(font, 15)

    def write(
        self, text: str, left: int, top: int, width: int, ink: tuple[int, int, int] = _INK
    ) -> None:
        """Write one line, cut short to ``width`` pixels."""
        if self._font.getlength(text) > width:
            while text and self._font.getlength(text + "…") > width:
                text = text[:-1]
            text += "…"
        self._draw.text((left, top), text, fill=ink, font=self._font)

    def write_wrapped(self, text: str, left: int, top: int, width: int, lines: int) -> None:
        """Write words in at most ``lines`` lines of ``width`` pixels."""
        words, line = text.split(), 0
        while words and line < lines:
            count = 1
            while (
                count < len(words) and self._font.getlength(" ".join(words[: count + 1])) <= width
            ):
                count += 1
            rest = words if line == lines - 1 else words[:count]
            self.write(" ".join(rest), left, top + line * _LINE, width)
            words, line = words[count:], line + 1


def _chosen(frames: Frames) -> list[int]:
    """The frames to show: the only one, or first, middle and last."""
    return sorted({0, len(frames) // 2, len(frames) - 1})


def _picture(frame: npt.NDArray[np.float32]) -> Image.Image:
    return Image.fromarray((frame.clip(0, 1) * 255).round().astype(np.uint8))


def _enlarged(frame: npt.NDArray[np.float32], side: int) -> Image.Image:
    """A small frame, each pixel a crisp square, up to ``side``; a larger one as it is."""
    picture = _picture(frame)
    factor = max(side // max(picture.size), 1)
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _thumbnail(frame: npt.NDArray[np.float32], side: int) -> Image.Image:
    """Enlarged as far as it fits, or shrunk until it does."""
    picture = _enlarged(frame, side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _save(picture: Image.Image, path: Path) -> None:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    write_atomically(check_output(path), stream.getvalue())
