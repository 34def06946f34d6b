"""Choose the prompt lists: trained combinations to calibrate with, held-out ones to judge with.

The choice depends on the names and a seed alone, never on how the samples look.
"""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
import shared  # noqa: F401
from clips import Clips
from held_out import ground_is_held_out, pair_is_held_out
from motions import CAST, MOTIONS, motion_is_held_out, with_motion
from scenes import NOBODY
from subjects import COLOURS, NAMES
from wordings import Wish, facts, words

SEED = 20261129
CALIBRATION, HELD_OUT = 64, 32
SHEET = 8


def held_out_clips(rng: np.random.Generator, count: int) -> Clips:
    """Clips of held-out combinations alone, in turn of a kind: a pair that never met; a subject on
    a ground that it never had; a subject in a motion that it never made."""
    rest = [(g, m) for g in range(len(COLOURS)) for m in range(len(MOTIONS))]
    numbers = [NAMES.index(name) for name in CAST]

    def apart(subject: int, ground: int, motion: int) -> tuple[bool, bool]:
        name = NAMES[subject]
        unknown = motion_is_held_out(name, MOTIONS[motion])
        return ground_is_held_out(name, COLOURS[ground]), unknown

    pairs = [
        (a, b, g, m)
        for a in numbers
        for b in numbers
        for g, m in rest
        if a != b and pair_is_held_out(NAMES[a], NAMES[b])
        if not any(apart(a, g, m)) and not any(apart(b, g, m))
    ]
    grounds = [
        (a, NOBODY, g, m) for a in numbers for g, m in rest if apart(a, g, m) == (True, False)
    ]
    moves = [(a, NOBODY, g, m) for a in numbers for g, m in rest if apart(a, g, m) == (False, True)]
    chosen = np.empty((count, 4), int)
    for first, kind in enumerate((pairs, grounds, moves)):
        wanted = len(chosen[first::3])
        chosen[first::3] = np.array(kind)[rng.choice(len(kind), wanted, replace=wanted > len(kind))]
    return clips.moving(rng, chosen)


def name(found: Clips, count: int) -> list[str]:
    """The first `count` different prompts, which say all: "... rising on a ... ground"."""
    prompts = []
    for i in range(len(found)):
        true = facts(found.scenes, i)
        paired = len(true.subjects) == 2
        unsized = Wish(
            true.subjects, (None,) * len(true.subjects), true.where if paired else None, None
        )
        prompts.append(with_motion(words(unsized), MOTIONS[found.motion[i]], true.ground))
    return list(dict.fromkeys(prompts))[:count]


def calibration_prompts() -> list[str]:
    """Prompts of trained combinations."""
    return name(clips.draw(np.random.default_rng([SEED, 0]), 2 * CALIBRATION), CALIBRATION)


def held_out_prompts() -> list[str]:
    """Prompts of held-out combinations alone."""
    return name(held_out_clips(np.random.default_rng([SEED, 1]), 2 * HELD_OUT), HELD_OUT)


def sheet_prompts() -> list[str]:
    """The fixed prompts of the sheet: trained combinations, then as many held-out ones."""
    rng = np.random.default_rng([SEED, 2])
    trained = name(clips.draw(rng, 2 * SHEET), SHEET)
    return trained + name(held_out_clips(rng, 2 * SHEET), SHEET)


def write(out: Path) -> None:
    """Write the two prompt files into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    lists = {"calibration": calibration_prompts(), "heldout": held_out_prompts()}
    for kind, prompts in lists.items():
        text = "\n".join(prompts) + "\n"
        (out / f"reference-video-{kind}.txt").write_text(text, encoding="utf-8")
