"""Scenes drawn anew: one or two subjects at drawn places, on a ground with its own variation.

What is drawn is kept as numbers (`Scenes`), from which the picture is painted and the prompt is
worded. Nothing that is held out is ever drawn for training.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from held_out import is_held_out
from sprites import ANGLES, SIDE, SIZES, Bank
from subjects import COLOURS, GROUNDS, NAMES

PAIR_SHARE = 0.5
ALONE = (28, 58)
PAIRED = (24, 38)
PAIR_TOTAL = 68
OVERLAP = 0.88
NOBODY = -1


@dataclass
class Scenes:
    """A batch of n scenes as numbers; a second subject of -1 is none.

    subjects, sizes (pixels), angles and sizes by index, mirrored: n x 2; ground: n;
    centres (row, column, pixels): n x 2 x 2; tints: n x 2 x 3 (grey level and colour at both
    ends of the gradient); slopes (row, column): n x 2.
    """

    subjects: np.ndarray
    sizes: np.ndarray
    centres: np.ndarray
    angles: np.ndarray
    mirrored: np.ndarray
    ground: np.ndarray
    tints: np.ndarray
    slopes: np.ndarray

    def __len__(self) -> int:
        """How many scenes there are."""
        return len(self.ground)

    def __getitem__(self, chosen: np.ndarray) -> Scenes:
        """The chosen scenes."""
        return Scenes(*(getattr(self, field.name)[chosen] for field in fields(self)))


def allowed() -> tuple[np.ndarray, np.ndarray]:
    """What training may show: (subject, ground) and (one, other, ground), as numbers."""
    grounds = list(enumerate(COLOURS))
    alone = [
        (a, g) for a, name in enumerate(NAMES) for g, c in grounds if not is_held_out([name], c)
    ]
    paired = [
        (a, b, g)
        for a, b in combinations(range(len(NAMES)), 2)
        for g, c in grounds
        if not is_held_out([NAMES[a], NAMES[b]], c)
    ]
    return np.array(alone), np.array(paired)


ALONE_ALLOWED, PAIRED_ALLOWED = allowed()


def draw(rng: np.random.Generator, count: int, pair_share: float = PAIR_SHARE) -> Scenes:
    """Scenes for training, with one subject or (a share of them) two; evenly over what may be."""
    alone = ALONE_ALLOWED[rng.integers(len(ALONE_ALLOWED), size=count)]
    paired = PAIRED_ALLOWED[rng.integers(len(PAIRED_ALLOWED), size=count)]
    two = rng.random(count) < pair_share
    swapped = rng.random(count) < 0.5
    first = np.where(two, np.where(swapped, paired[:, 1], paired[:, 0]), alone[:, 0])
    second = np.where(two, np.where(swapped, paired[:, 0], paired[:, 1]), NOBODY)
    ground = np.where(two, paired[:, 2], alone[:, 1])
    return placed(rng, np.stack([first, second], 1), ground)


def placed(rng: np.random.Generator, subjects: np.ndarray, ground: np.ndarray) -> Scenes:
    """The given subjects (n x 2) on the given grounds (n), at drawn places and sizes."""
    count = len(ground)
    two = subjects[:, 1] != NOBODY
    sizes, centres = places_of_two(rng, count)
    size, centre = places_of_one(rng, count)
    sizes[~two, 0], centres[~two, 0] = size[~two], centre[~two]
    turn = rng.random(count) * 2 * np.pi
    return Scenes(
        subjects=subjects,
        sizes=sizes,
        centres=centres,
        angles=rng.integers(len(ANGLES), size=(count, 2)),
        mirrored=rng.random((count, 2)) < 0.5,
        ground=ground,
        tints=rng.uniform(-25, 25, (count, 2, 1)) + rng.uniform(-8, 8, (count, 2, 3)),
        slopes=np.stack([np.sin(turn), np.cos(turn)], 1),
    )


def even(rng: np.random.Generator, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Even numbers of pixels, evenly drawn from low to high."""
    return 2 * np.floor(rng.uniform(np.asarray(low) / 2, np.asarray(high) / 2 + 1)).astype(int)


def places_of_one(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (n) and centres (n x 2) of a subject that is alone: anywhere within the picture."""
    size = even(rng, np.full(count, ALONE[0]), ALONE[1])
    return size, size[:, None] / 2 + rng.random((count, 2)) * (SIDE - size[:, None])


def places_of_two(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (n x 2) and centres (n x 2 x 2) of two subjects, side by side or one above the other.

    Along one axis they are clear of each other but for a sliver; along the other they are nearer
    to each other than along the first, so that "left of" and "above" are never in doubt.
    """
    one = even(rng, np.full(count, PAIRED[0]), PAIRED[1])
    other = even(rng, PAIRED[0], np.minimum(PAIRED[1], PAIR_TOTAL - one))
    sizes = np.where(rng.random((count, 1)) < 0.5, np.stack([one, other], 1), 0)
    sizes = np.where(sizes > 0, sizes, np.stack([other, one], 1))
    half = sizes / 2
    least = OVERLAP * half.sum(1)
    gap = least + rng.random(count) * (SIDE - half.sum(1) - least)
    start = half[:, 0] + rng.random(count) * (SIDE - half.sum(1) - gap)
    along = np.stack([start, start + gap], 1)
    level = half[:, 0] + rng.random(count) * (SIDE - sizes[:, 0])
    shift = rng.uniform(-0.7, 0.7, count) * gap
    across = np.stack([level, np.clip(level + shift, half[:, 1], SIDE - half[:, 1])], 1)
    swapped = rng.random(count) < 0.5
    along = np.where(swapped[:, None], SIDE - along, along)
    upright = (rng.random(count) < 0.5)[:, None]
    rows, columns = np.where(upright, along, across), np.where(upright, across, along)
    return sizes, np.stack([rows, columns], 2)


def paint(scenes: Scenes, bank: Bank) -> np.ndarray:
    """The pictures, n x 64 x 64 x 3, uint8."""
    pictures = grounds(scenes)
    for k in (0, 1):
        for i in np.flatnonzero(scenes.subjects[:, k] != NOBODY):
            versions = bank[scenes.subjects[i, k]][SIZES.index(scenes.sizes[i, k])]
            sprite = versions[scenes.angles[i, k]]
            lay(
                pictures[i],
                sprite[:, ::-1] if scenes.mirrored[i, k] else sprite,
                *scenes.centres[i, k],
            )
    return pictures


def grounds(scenes: Scenes, side: int = SIDE) -> np.ndarray:
    """The grounds alone: each colour with its own tint at both ends of a turned gradient."""
    line = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    slopes = scenes.slopes.astype(np.float32)
    mix = 0.5 + slopes[:, 0, None, None] * line[:, None] + slopes[:, 1, None, None] * line
    base = np.array([GROUNDS[c] for c in COLOURS])[scenes.ground][:, None] + scenes.tints
    low, high = base.astype(np.float32).transpose(1, 0, 2)[:, :, None, None]
    return np.clip(low + (high - low) * mix[..., None], 0, 255).astype(np.uint8)


def lay(picture: np.ndarray, sprite: np.ndarray, row: float, column: float) -> None:
    """Lay a premultiplied sprite over a picture, centred, cut off at the edges; in place."""
    side, room = len(sprite), len(picture)
    top, left = round(row - side / 2), round(column - side / 2)
    cut = sprite[max(0, -top) : max(0, room - top), max(0, -left) : max(0, room - left)]
    y, x = max(0, top), max(0, left)
    under = picture[y : y + cut.shape[0], x : x + cut.shape[1]]
    clear = 255 - cut[..., 3:].astype(np.uint16)
    under[:] = cut[..., :3] + ((under * clear + 127) // 255).astype(np.uint8)
