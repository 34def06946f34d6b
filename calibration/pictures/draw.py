"""Draws the still life that recipes for editing and animating show: ``python draw.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT, FINER = 1280, 720, 2
"""Of the picture, in pixels, and how much finer it is drawn before it is scaled down."""

EYE = np.array([0.0, 1.35, -3.6])
LIGHT = np.array([-0.55, 0.75, -0.4])
BALLS = (
    (np.array([-0.75, 0.55, 0.3]), 0.55, np.array([0.78, 0.10, 0.08])),
    (np.array([0.12, 0.2, -0.55]), 0.2, np.array([0.93, 0.72, 0.12])),
)
"""Centre, radius and colour: a red one, and a small yellow one before it."""

BOX = (np.array([0.45, 0.0, -0.1]), np.array([1.25, 0.8, 0.7])), np.array([0.12, 0.25, 0.65])
"""Two corners, and its colour: blue."""

WALL = 2.2
"""How far behind the things the wall is."""

FAR = 1e9

TABLE = len(BALLS) + 1
"""What a ray met: a ball by its number, then the box, the table, the wall."""


def ball(start: Array, way: Array, centre: Array, radius: float) -> Array:
    """How far each ray goes until it meets a ball; FAR where it does not."""
    to = start - centre
    b = (to * way).sum(-1)
    inside = b * b - (to * to).sum(-1) + radius**2
    met = -b - np.sqrt(np.maximum(inside, 0))
    return np.where((inside > 0) & (met > 1e-4), met, FAR)


def box(start: Array, way: Array, low: Array, high: Array) -> Array:
    """The same for a box."""
    with np.errstate(divide="ignore"):
        one, other = (low - start) / way, (high - start) / way
    enter, leave = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
    return np.where((enter < leave) & (enter > 1e-4), enter, FAR)


def things(start: Array, way: Array) -> Array:
    """How far each ray goes until it meets each thing: the balls, then the box."""
    distances = [ball(start, way, centre, radius) for centre, radius, _ in BALLS]
    return np.stack([*distances, box(start, way, *BOX[0])])


def wood(at: Array) -> Array:
    """The table's colour."""
    board = np.floor(at[..., 2] * 2.2)
    grain = np.sin(at[..., 0] * 1.3 + board * 2.1 + 6 * np.sin(at[..., 2] * 9 + board))
    grain = grain + 0.4 * np.sin(at[..., 2] * 140 + 3 * np.sin(at[..., 0] * 2 + board))
    seam = np.abs(at[..., 2] * 2.2 - board - 0.5) > 0.485
    shade = 0.72 + 0.06 * grain + 0.05 * np.sin(board * 5.3) - 0.25 * seam
    return shade[..., None] * np.array([0.72, 0.47, 0.28])


def lit(at: Array, facing: Array) -> Array:
    """How much light falls on each place: soft shadows, and what comes from everywhere."""
    total = np.zeros(at.shape[:-1])
    sway = np.array([[0, 0, 0], [0.09, 0, 0.04], [-0.09, 0, -0.04], [0.03, 0, -0.09]])
    for shift in sway:
        towards = (LIGHT + shift) / np.linalg.norm(LIGHT + shift)
        way = np.broadcast_to(towards, at.shape)
        free = things(at + 1e-3 * facing, way).min(0) >= FAR
        total += free * np.maximum((facing * way).sum(-1), 0) / len(sway)
    return 0.32 + 0.78 * total


def camera() -> Array:
    """The direction of each pixel's ray, [rows, columns, 3], of length 1."""
    rows, columns = HEIGHT * FINER, WIDTH * FINER
    y, x = np.mgrid[0.5 : rows + 0.5, 0.5 : columns + 0.5]
    tilt = (rows / 2 - y) / rows - 0.23
    way = np.stack([(x - columns / 2) / rows, tilt, np.ones_like(x)], -1)
    return way / np.linalg.norm(way, axis=-1, keepdims=True)


def surfaces(what: Array, at: Array) -> tuple[Array, Array]:
    """Colour of what each ray meets, and the direction that its surface faces."""
    table = (what == TABLE)[..., None]
    colour = np.where(table, wood(at), np.array([0.80, 0.77, 0.70]))
    facing = np.where(table, np.array([0, 1.0, 0]), np.array([0, 0, -1.0]))
    for number, (centre, radius, own) in enumerate(BALLS):
        mine = (what == number)[..., None]
        colour, facing = np.where(mine, own, colour), np.where(mine, (at - centre) / radius, facing)
    low, high = BOX[0]
    middle = (at - (low + high) / 2) / (high - low)
    side = np.eye(3)[np.abs(middle).argmax(-1)] * np.sign(middle)
    mine = (what == len(BALLS))[..., None]
    return np.where(mine, BOX[1], colour), np.where(mine, side, facing)


def draw() -> Image.Image:
    """The picture: two balls and a box on a table before a wall."""
    way = camera()
    with np.errstate(divide="ignore"):
        table = np.where(way[..., 1] < 0, -EYE[1] / way[..., 1], FAR)
    wall = (WALL - EYE[2]) / way[..., 2]
    met = np.stack([*things(np.broadcast_to(EYE, way.shape), way), table, wall])
    what, at = met.argmin(0), EYE + met.min(0)[..., None] * way
    colour, facing = surfaces(what, at)
    back = way - 2 * (way * facing).sum(-1, keepdims=True) * facing
    gloss = np.maximum((back * LIGHT / np.linalg.norm(LIGHT)).sum(-1), 0) ** 40
    shine = 0.55 * gloss * (what < len(BALLS))
    seen = colour * lit(at, facing)[..., None] + shine[..., None]
    pixels = (255 * np.clip(seen, 0, 1) ** (1 / 1.6)).astype(np.uint8)
    return Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().save(Path(__file__).with_name("still-life.jpg"), quality=90)
