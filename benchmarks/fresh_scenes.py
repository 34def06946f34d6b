"""Scenes drawn anew, as the reference pipeline was trained on them, with their prompts."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SEED = 20261129
TRAINING = Path(__file__).parent.parent / "calibration" / "reference" / "training"


def write_scenes(
    folder: Path, count: int, apart_from: Sequence[str], *, blank: bool = False
) -> list[str]:
    """Paint so many scenes into a folder, as PNG files; nothing if they are there.

    Args:
        folder: Made if it is not there.
        count: How many.
        apart_from: Prompts that none of them may have.
        blank: Leave the subjects out, whose pictures have to be fetched.

    Returns:
        Their prompts, one a scene, always the same for the same count.
    """
    scenes, wordings = _training("scenes"), _training("wordings")
    rng = np.random.default_rng(SEED)
    drawn = scenes.draw(rng, 2 * count)
    told = wordings.say(rng, drawn)
    known = {prompt.casefold() for prompt in apart_from}
    chosen = [i for i, prompt in enumerate(told) if prompt.casefold() not in known][:count]
    files = [folder / f"{number:06d}.png" for number in range(count)]
    if not all(file.is_file() for file in files):
        folder.mkdir(parents=True, exist_ok=True)
        pictures = scenes.paint(drawn[np.array(chosen)], _bank(blank))
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(file)
    return [told[i] for i in chosen]


def _bank(blank: bool) -> Any:
    """The subjects at all sizes and angles; blank ones are clear all over."""
    sprites = _training("sprites")
    if not blank:
        return sprites.load()
    clear = [[np.zeros((size, size, 4), np.uint8)] * len(sprites.ANGLES) for size in sprites.SIZES]
    return [clear] * len(_training("subjects").NAMES)


def _training(name: str) -> Any:
    """A module of the training folder; these import each other by their plain names."""
    if str(TRAINING) not in sys.path:
        sys.path.append(str(TRAINING))
    return import_module(name)
