"""Clips drawn anew: one or two subjects that move together, on a ground that stands still.

What is drawn is kept as numbers (`Clips`), from which the frames are painted and the prompt is
worded. Nothing that is held out is ever drawn for training.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import shared  # noqa: F401
import sprites
from motions import CAST, MOTIONS, clip_is_held_out
from PIL import Image
from scenes import NOBODY, Scenes, even, grounds, lay, placed
from subjects import COLOURS, NAMES

SIDE = 48
FRAMES = 9
PAIR_SHARE = 0.5
SCALE = SIDE / sprites.SIDE
ROOM = 92
ALONE = (20, 32)
PLAIN_ALONE, PLAIN_PAIRED = (28, 32), (20, 24)
ANGLE_STEP = 15
MIDDLE = FRAMES // 2

STILL, LEFT, RIGHT, RISING, FALLING, GROWING, SHRINKING, TURNING = range(len(MOTIONS))
DIRECTIONS = np.zeros((len(MOTIONS), 2), int)
DIRECTIONS[LEFT], DIRECTIONS[RIGHT] = (0, -1), (0, 1)
DIRECTIONS[RISING], DIRECTIONS[FALLING] = (-1, 0), (1, 0)


@dataclass
class Clips:
    """A batch of n clips as numbers.

    scenes: what stands where on which ground, as in the middle frame (places of a 64-pixel
    picture); motion: n; sizes (pixels), angles (degrees): n x 2 x frames; centres (row, column,
    pixels): n x 2 x frames x 2.
    """

    scenes: Scenes
    motion: np.ndarray
    sizes: np.ndarray
    angles: np.ndarray
    centres: np.ndarray

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self.motion)


class Bank:
    """The subjects' pictures, each size and angle made when it is first asked for."""

    def __init__(self, pictures: dict[str, Image.Image]) -> None:
        margin = (ROOM - sprites.SIDE) // 2
        self.roomy = []
        for name in NAMES:
            roomy = Image.new("RGBA", (ROOM, ROOM))
            roomy.paste(pictures[name], (margin, margin))
            self.roomy.append(roomy)
        self.get = cache(self.make)

    def make(self, subject: int, size: int, angle: int, mirrored: bool) -> np.ndarray:
        """A premultiplied sprite, side x side x 4, uint8."""
        side = round(size * ROOM / sprites.SIDE)
        turned = self.roomy[subject].rotate(angle, Image.Resampling.BICUBIC)
        sprite = sprites.premultiplied(turned.resize((side, side), Image.Resampling.HAMMING))
        return sprite[:, ::-1] if mirrored else sprite


def load(folder: Path = sprites.DEFAULT_CACHE) -> Bank:
    """The bank of the pictures in the cache folder."""
    return Bank(sprites.read_pictures(sprites.fetch(folder)))


def allowed() -> tuple[np.ndarray, np.ndarray]:
    """What training may show: (subject, ground, motion) and (one, other, ground, motion)."""
    numbers = [NAMES.index(name) for name in CAST]
    rest = [(g, m) for g in range(len(COLOURS)) for m in range(len(MOTIONS))]

    def free(*subjects: int, ground: int, motion: int) -> bool:
        names = [NAMES[s] for s in subjects]
        return not clip_is_held_out(names, COLOURS[ground], MOTIONS[motion])

    alone = [(a, g, m) for a in numbers for g, m in rest if free(a, ground=g, motion=m)]
    paired = [
        (a, b, g, m)
        for a, b in combinations(numbers, 2)
        for g, m in rest
        if free(a, b, ground=g, motion=m)
    ]
    return np.array(alone), np.array(paired)


ALONE_ALLOWED, PAIRED_ALLOWED = allowed()


def draw(rng: np.random.Generator, count: int, varied: bool = False) -> Clips:
    """Clips for training, of one subject or (a share of them) two; evenly over what may be."""
    alone = ALONE_ALLOWED[rng.integers(len(ALONE_ALLOWED), size=count)]
    paired = PAIRED_ALLOWED[rng.integers(len(PAIRED_ALLOWED), size=count)]
    paired[:, :2] = np.where(rng.random((count, 1)) < 0.5, paired[:, :2], paired[:, 1::-1])
    nobody = np.full((count, 1), NOBODY)
    alone = np.concatenate([alone[:, :1], nobody, alone[:, 1:]], 1)
    return moving(rng, np.where(rng.random((count, 1)) < PAIR_SHARE, paired, alone), varied)


def moving(rng: np.random.Generator, chosen: np.ndarray, varied: bool = False) -> Clips:
    """Clips of the chosen (one, other or nobody, ground, motion), at drawn places.

    varied: subjects are mirrored and lean, and go at many speeds and sizes, too.
    """
    scenes, motion = placed(rng, chosen[:, :2], chosen[:, 2]), chosen[:, 3]
    count, two = len(motion), chosen[:, 1] != NOBODY
    size = np.where(two[:, None], 2 * np.round(scenes.sizes * SCALE / 2), 0).astype(int)
    size[~two, 0] = even(rng, np.full(count, ALONE[0]), ALONE[1])[~two]
    speed = np.where(two, rng.integers(1, 3, count), rng.integers(2, 4, count))
    if not varied:
        plainly(scenes, two, size, speed)
    travel = DIRECTIONS[motion] * speed[:, None]
    centre = centres(rng, scenes, two, size, travel)
    path = np.arange(FRAMES) - MIDDLE
    grown = np.where(motion == GROWING, 1, 0) - np.where(motion == SHRINKING, 1, 0)
    growth = grown * np.where(two, 1, 2)
    turn = np.where(motion == TURNING, np.where(rng.random(count) < 0.5, 1, -1), 0)
    lean = ANGLE_STEP * rng.integers(-1, 2, (count, 2)) * (motion != TURNING)[:, None] * varied
    turned = ANGLE_STEP * turn[:, None, None] * path
    return Clips(
        scenes=scenes,
        motion=motion,
        sizes=size[..., None] + growth[:, None, None] * path,
        angles=lean[..., None] + turned,
        centres=centre[:, :, None] + travel[:, None, None] * path[:, None],
    )


def plainly(scenes: Scenes, two: np.ndarray, size: np.ndarray, speed: np.ndarray) -> None:
    """Never mirrored, of few sizes, at one speed; all in place."""
    scenes.mirrored[:] = False
    speed[:] = np.where(two, 1, 2)
    size[two] = size[two].clip(*PLAIN_PAIRED)
    size[~two, 0] = size[~two, 0].clip(*PLAIN_ALONE)


def centres(
    rng: np.random.Generator,
    scenes: Scenes,
    two: np.ndarray,
    size: np.ndarray,
    travel: np.ndarray,
) -> np.ndarray:
    """Where subjects are in the middle frame, n x 2 x 2: who is alone stays within the picture."""
    found = np.round(scenes.centres * SCALE)
    half = size[:, :1] / 2 + np.abs(travel) * MIDDLE - 2
    low, high = np.minimum(half, SIDE / 2), np.maximum(SIDE - half, SIDE / 2)
    places = np.round(low + rng.random((len(two), 2)) * (high - low))
    found[~two, 0] = places[~two]
    return found


def paint(clips: Clips, bank: Bank) -> np.ndarray:
    """The frames, n x frames x 48 x 48 x 3, uint8."""
    scenes = clips.scenes
    frames = np.repeat(grounds(scenes, SIDE)[:, None], FRAMES, 1)
    for k in (0, 1):
        for i in np.flatnonzero(scenes.subjects[:, k] != NOBODY):
            subject, mirrored = scenes.subjects[i, k], bool(scenes.mirrored[i, k])
            for t in range(FRAMES):
                sprite = bank.get(subject, clips.sizes[i, k, t], clips.angles[i, k, t], mirrored)
                lay(frames[i, t], sprite, *clips.centres[i, k, t])
    return frames
