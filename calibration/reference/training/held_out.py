"""Which combinations never occur in training: chosen by a hash of their names.

A fifth of all unordered pairs of subjects and a tenth of all combinations of a subject with a
ground are held out. A scene is held out when any combination in it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

PAIRS_HELD = 5
GROUNDS_HELD = 10


def remainder(kind: str, names: Sequence[str], modulus: int) -> int:
    """The SHA-256 of the sorted names, modulo a number."""
    text = "|".join([kind, *sorted(names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % modulus


def pair_is_held_out(one: str, other: str) -> bool:
    """Whether two subjects never meet in training, whatever their order."""
    return remainder("pair", [one, other], PAIRS_HELD) == 0


def ground_is_held_out(subject: str, ground: str) -> bool:
    """Whether a subject never stands on a ground in training."""
    return remainder("ground", [subject, ground], GROUNDS_HELD) == 0


def is_held_out(subjects: Sequence[str], ground: str | None) -> bool:
    """Whether a scene of these subjects on this ground (None: any) is held out."""
    pairs = any(pair_is_held_out(a, b) for a, b in combinations(subjects, 2))
    return pairs or (ground is not None and any(ground_is_held_out(s, ground) for s in subjects))
