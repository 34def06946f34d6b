"""A folder of pictures that samples are compared with."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from meancache_plan.errors import InputError
from meancache_plan.judge.frechet.picture_features import Pictures

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Folder:
    """All pictures that lie in it, in the order of their names; all of one size.

    Raises:
        InputError: There are none, one cannot be read, or they differ in size.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = folder.iterdir() if folder.is_dir() else ()
        self._files = sorted(file for file in found if file.suffix.lower() in SUFFIXES)
        if not self._files:
            raise InputError(f"{folder}: holds no pictures: give a folder of PNG or JPEG files")
        self.size = _size(self._files[0])
        for file in self._files:
            if _size(file) != self.size:
                raise InputError(
                    f"{file}: is {_words(_size(file))} pixels, {self._files[0].name} "
                    f"{_words(self.size)}: give pictures of the samples' size"
                )

    def __len__(self) -> int:
        """How many there are."""
        return len(self._files)

    def check(self, size: tuple[int, int]) -> None:
        """Refuse pictures that are not of the samples' (width, height). Raises InputError."""
        if self.size != size:
            raise InputError(
                f"{self._folder}: its pictures are {_words(self.size)} pixels, the samples "
                f"{_words(size)}: give pictures of the samples' size"
            )

    def batches(self, size: int) -> Iterator[Pictures]:
        """The pictures, so many at a time."""
        for first in range(0, len(self), size):
            pictures: list[Pictures] = []
            for file in self._files[first : first + size]:
                with Image.open(file) as picture:
                    pictures.append(np.asarray(picture.convert("RGB")))
            yield np.stack(pictures)


def _size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{file}: cannot be read as a picture ({error}): remove it") from error


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
