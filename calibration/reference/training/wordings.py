"""Prompts of scenes, and their grammar read backwards.

A prompt names one or two subjects, each perhaps with its size, perhaps their place or how they
stand to each other, and mostly the ground: "a small red apple left of a cat on a blue ground".
What a prompt says is kept as a `Wish`, whose words are only ever true of its scene.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scenes import ALONE, NOBODY, PAIRED, Scenes
from sprites import SIDE
from subjects import COLOURS, NAMES

SAID = 0.5
RELATION_SAID = 0.7
GROUND_SAID = 0.9
SMALL_SHARE, BIG_SHARE = 0.3, 0.65
PLACES = ("at the left", "at the right", "at the top", "at the bottom", "in the middle")
RELATIONS = ("left of", "right of", "above", "below")
FORMS = ("{what} on {ground} ground", "{what} on {colour}", "on {ground} ground, {what}")


@dataclass(frozen=True)
class Wish:
    """What a prompt says: names, each with a size or none; a relation or a place; a ground."""

    subjects: tuple[str, ...]
    sizes: tuple[str | None, ...]
    where: str | None
    ground: str | None


def article(noun: str) -> str:
    """The noun with its indefinite article."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def size_word(size: float, alone: bool) -> str | None:
    """Small or big, as such things go when alone or in a pair; else nothing."""
    low, high = ALONE if alone else PAIRED
    share = (size - low) / (high - low)
    return "small" if share <= SMALL_SHARE else "big" if share >= BIG_SHARE else None


def place_word(row: float, column: float) -> str | None:
    """Where a lone subject's centre is, when one word says it."""
    down, right = row / SIDE - 0.5, column / SIDE - 0.5
    if max(abs(down), abs(right)) < 0.07:
        return PLACES[4]
    if abs(right) > 0.12 and abs(right) > 1.5 * abs(down):
        return PLACES[0] if right < 0 else PLACES[1]
    if abs(down) > 0.12 and abs(down) > 1.5 * abs(right):
        return PLACES[2] if down < 0 else PLACES[3]
    return None


def relation_word(first: np.ndarray, second: np.ndarray) -> str:
    """How the first centre (row, column) lies to the second."""
    down, right = first - second
    if abs(right) > abs(down):
        return RELATIONS[0] if right < 0 else RELATIONS[1]
    return RELATIONS[2] if down < 0 else RELATIONS[3]


def facts(scenes: Scenes, i: int, first: int = 0) -> Wish:
    """All that could be said of scene i, when its subject `first` is named first."""
    numbers = scenes.subjects[i]
    order = [0] if numbers[1] == NOBODY else [first, 1 - first]
    alone = len(order) == 1
    centres = scenes.centres[i]
    return Wish(
        subjects=tuple(NAMES[numbers[k]] for k in order),
        sizes=tuple(size_word(scenes.sizes[i, k], alone) for k in order),
        where=place_word(*centres[0]) if alone else relation_word(*centres[order]),
        ground=COLOURS[scenes.ground[i]],
    )


def words(wish: Wish, form: int = 0) -> str:
    """The prompt of a wish, in one of the forms."""
    named = [
        article(name if size is None else f"{size} {name}")
        for name, size in zip(wish.subjects, wish.sizes, strict=True)
    ]
    if len(named) == 1:
        what = named[0] if wish.where is None else f"{named[0]} {wish.where}"
    else:
        what = f" {wish.where or 'and'} ".join(named)
    if wish.ground is None:
        return what
    return FORMS[form].format(what=what, colour=wish.ground, ground=article(wish.ground))


def say(rng: np.random.Generator, scenes: Scenes) -> list[str]:
    """A prompt for each scene, its wording drawn."""
    chances = rng.random((len(scenes), 5))
    forms = rng.choice(len(FORMS), size=len(scenes), p=(0.6, 0.2, 0.2))
    return [said(scenes, i, chances[i], forms[i]) for i in range(len(scenes))]


def said(scenes: Scenes, i: int, chances: np.ndarray, form: int) -> str:
    """The prompt of scene i: what could be said, less what chance leaves out."""
    true = facts(scenes, i, first=int(chances[0] < 0.5))
    sizes = tuple(
        size if chance < SAID else None
        for size, chance in zip(true.sizes, chances[1:], strict=False)
    )
    share = SAID if len(true.subjects) == 1 else RELATION_SAID
    where = true.where if chances[3] < share else None
    ground = true.ground if chances[4] < GROUND_SAID else None
    return words(Wish(true.subjects, sizes, where, ground), form)


CLAUSE = r"an? (?:(small|big) )?({})".format("|".join(NAMES))
WHAT = re.compile(
    rf"{CLAUSE}(?: ({'|'.join(PLACES)})| ({'|'.join(RELATIONS)}|and) {CLAUSE})?$", re.IGNORECASE
)
COLOUR = "|".join(COLOURS)
GROUNDED = (
    re.compile(rf"(?P<what>.+?) on (?:an? )?(?P<ground>{COLOUR})(?: ground)?$"),
    re.compile(rf"on an? (?P<ground>{COLOUR}) ground, (?P<what>.+)$"),
)


def parse(prompt: str) -> Wish:
    """What a prompt says.

    Raises:
        ValueError: the prompt is not of this grammar.
    """
    text = prompt.lower().strip()
    found = next((match for form in GROUNDED if (match := form.match(text))), None)
    what = WHAT.match(found["what"] if found else text)
    if what is None:
        raise ValueError(f"not a prompt of a scene: {prompt!r}")
    size, name, place, relation, other_size, other = what.groups()
    two = other is not None
    return Wish(
        subjects=(name, other) if two else (name,),
        sizes=(size, other_size) if two else (size,),
        where=None if relation == "and" else relation or place,
        ground=found["ground"] if found else None,
    )


def holds(wish: Wish, scenes: Scenes, i: int) -> bool:
    """Whether all that a wish says is true of scene i, whose subjects are in the wish's order."""
    true = facts(scenes, i)
    sizes = all(said in (None, size) for said, size in zip(wish.sizes, true.sizes, strict=True))
    ground = wish.ground in (None, true.ground)
    return wish.subjects == true.subjects and sizes and wish.where in (None, true.where) and ground
