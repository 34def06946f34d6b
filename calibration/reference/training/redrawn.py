"""Scenes drawn anew for a prompt: whatever it does not say is drawn, whatever it says is true."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from scenes import NOBODY, Scenes, placed
from subjects import COLOURS, NAMES
from wordings import Wish, holds

TRIES = 400


def redraw(rng: np.random.Generator, wish: Wish, count: int) -> Scenes:
    """So many scenes of which all that a wish says is true; the wish names a ground.

    Raises:
        ValueError: the wish names no ground, or its words are too rarely true together.
    """
    if wish.ground is None:
        raise ValueError(f"no ground is named: {wish}")
    numbers = [NAMES.index(name) for name in wish.subjects]
    numbers += [NOBODY] * (2 - len(numbers))
    parts: list[Scenes] = []
    while sum(map(len, parts)) < count:
        if len(parts) == TRIES:
            raise ValueError(f"hardly ever true: {wish}")
        subjects = np.tile(numbers, (count, 1))
        drawn = placed(rng, subjects, np.full(count, COLOURS.index(wish.ground)))
        parts.append(drawn[[i for i in range(count) if holds(wish, drawn, i)]])
    return joined(parts)[np.arange(count)]


def joined(parts: list[Scenes]) -> Scenes:
    """Batches of scenes as one."""
    names = [field.name for field in fields(Scenes)]
    return Scenes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
