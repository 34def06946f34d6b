"""Choose the prompt lists: trained combinations to calibrate with, held-out ones to judge with.

The choice depends on the names and a seed alone, never on how the samples look.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from held_out import ground_is_held_out, is_held_out, pair_is_held_out
from scenes import NOBODY, Scenes, draw, placed
from subjects import COLOURS, NAMES
from wordings import RELATIONS, Wish, facts, words

SEED = 20261128
CALIBRATION, HELD_OUT = 96, 64
SHEET = 16


def held_out_scenes(rng: np.random.Generator, count: int) -> Scenes:
    """Scenes of held-out combinations alone: in turn a pair that never met, on a ground that both
    had; and one subject on a ground that it never had."""
    pairs = [
        (a, b, g)
        for a, one in enumerate(NAMES)
        for b, other in enumerate(NAMES)
        for g, ground in enumerate(COLOURS)
        if a != b and pair_is_held_out(one, other)
        if not is_held_out([one], ground) and not is_held_out([other], ground)
    ]
    alone = [
        (a, NOBODY, g)
        for a, one in enumerate(NAMES)
        for g, ground in enumerate(COLOURS)
        if ground_is_held_out(one, ground)
    ]
    chosen = np.empty((count, 3), int)
    for first, kind in enumerate((pairs, alone)):
        wanted = len(chosen[first::2])
        chosen[first::2] = np.array(kind)[rng.choice(len(kind), wanted, replace=wanted > len(kind))]
    return placed(rng, chosen[:, :2], chosen[:, 2])


def name(rng: np.random.Generator, scenes: Scenes, count: int) -> list[str]:
    """The first `count` different prompts, of the plain form "... on a ... ground".

    They say the ground and how two subjects stand, and sizes and places half the time.
    """
    prompts = []
    for i in range(len(scenes)):
        true = facts(scenes, i)
        sizes = tuple(size if rng.random() < 0.5 else None for size in true.sizes)
        where = true.where if true.where in RELATIONS or rng.random() < 0.5 else None
        prompts.append(words(Wish(true.subjects, sizes, where, true.ground)))
    return list(dict.fromkeys(prompts))[:count]


def calibration_prompts() -> list[str]:
    """Prompts of trained combinations."""
    rng = np.random.default_rng([SEED, 0])
    return name(rng, draw(rng, 2 * CALIBRATION), CALIBRATION)


def held_out_prompts() -> list[str]:
    """Prompts of held-out combinations alone."""
    rng = np.random.default_rng([SEED, 1])
    return name(rng, held_out_scenes(rng, 2 * HELD_OUT), HELD_OUT)


def sheet_prompts() -> list[str]:
    """The 32 fixed prompts of the sheet: 16 of trained combinations, then 16 held-out ones."""
    rng = np.random.default_rng([SEED, 2])
    trained = name(rng, draw(rng, 2 * SHEET), SHEET)
    return trained + name(rng, held_out_scenes(rng, 2 * SHEET), SHEET)


def write(out: Path) -> None:
    """Write the two prompt files into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    lists = {"calibration": calibration_prompts(), "heldout": held_out_prompts()}
    for kind, prompts in lists.items():
        (out / f"reference-{kind}.txt").write_text("\n".join(prompts) + "\n", encoding="utf-8")
