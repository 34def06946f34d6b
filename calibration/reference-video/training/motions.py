"""What a clip does and how it is worded: a scene's words, and a motion after them.

"a cat left of a whale rising on a blue ground": all subjects of a clip move alike, so that what is
said of how they stand to each other stays true.
"""

from __future__ import annotations

import numpy as np
import shared  # noqa: F401
import wordings
from held_out import is_held_out, remainder
from scenes import Scenes
from wordings import FORMS, GROUND_SAID, RELATION_SAID, Wish, article, facts, words

CAST = (
    "banana",
    "butterfly",
    "cactus",
    "car",
    "cat",
    "fish",
    "frog",
    "ghost",
    "heart",
    "mushroom",
    "penguin",
    "red apple",
    "rocket",
    "star",
    "turtle",
    "whale",
)
MOTIONS = (
    "standing still",
    "moving left",
    "moving right",
    "rising",
    "falling",
    "growing",
    "shrinking",
    "turning",
)
MOTIONS_HELD = 10
MOTION_SAID = 0.95


def motion_is_held_out(subject: str, motion: str) -> bool:
    """Whether a subject never does this in training: true of a tenth of the combinations."""
    return remainder("motion", [subject, motion], MOTIONS_HELD) == 0


def clip_is_held_out(subjects: list[str], ground: str, motion: str) -> bool:
    """Whether any combination in a clip is held out."""
    moving = any(motion_is_held_out(subject, motion) for subject in subjects)
    return moving or is_held_out(subjects, ground)


def with_motion(what: str, motion: str | None, ground: str | None, form: int = 0) -> str:
    """The prompt of what a scene shows, how it moves and where, in one of the scenes' forms."""
    moving = what if motion is None else f"{what} {motion}"
    if ground is None:
        return moving
    return FORMS[form].format(what=moving, colour=ground, ground=article(ground))


def say(rng: np.random.Generator, scenes: Scenes, motion: np.ndarray) -> list[str]:
    """A prompt for each clip, its wording drawn."""
    chances = rng.random((len(scenes), 4))
    forms = rng.choice(len(FORMS), size=len(scenes), p=(0.6, 0.2, 0.2))
    return [said(scenes, i, motion[i], chances[i], forms[i]) for i in range(len(scenes))]


def said(scenes: Scenes, i: int, motion: int, chances: np.ndarray, form: int) -> str:
    """The prompt of clip i: what could be said, less what chance leaves out."""
    true = facts(scenes, i, first=int(chances[0] < 0.5))
    paired = len(true.subjects) == 2
    where = true.where if paired and chances[1] < RELATION_SAID else None
    what = words(Wish(true.subjects, (None,) * len(true.subjects), where, None))
    move = MOTIONS[motion] if chances[2] < MOTION_SAID else None
    return with_motion(what, move, true.ground if chances[3] < GROUND_SAID else None, form)


def parse(prompt: str) -> tuple[Wish, str | None]:
    """What a prompt says of the scene, and the motion or none.

    Raises:
        ValueError: the prompt is not of this grammar.
    """
    motion = next((m for m in MOTIONS if f" {m}" in prompt), None)
    scene = prompt if motion is None else prompt.replace(f" {motion}", "")
    return wordings.parse(scene), motion
