"""Which emoji the reference model is trained on, and the captions that name them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TypedDict


class Record(TypedDict):
    """One picture: its caption data and whether the text-to-image model trains on it."""

    label: str
    tags: list[str]
    group: str
    subject: bool


def read_sections() -> dict[str, list[str]]:
    """The lists in subjects.txt, by their headings."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (Path(__file__).parent / "subjects.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            current += [entry.strip() for entry in line.split(",") if entry.strip()]
    return sections


SECTIONS = read_sections()
GRID_PROMPTS = tuple(SECTIONS["grid prompts"])


def is_subject(label: str, group: str) -> bool:
    """Whether the text-to-image model is trained on this emoji."""
    if group in SECTIONS["all of"]:
        return label not in SECTIONS["without"]
    return label in SECTIONS.get(f"some of {group}", ())


def article(noun: str) -> str:
    """The noun with its indefinite article."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def captions(record: Record) -> list[str]:
    """The captions that a picture is trained with, simplest first."""
    name = record["label"].lower()
    plain = [f"{article(name)} emoji", name, f"{name} emoji", f"an emoji of {article(name)}"]
    tags = [tag.lower() for tag in record["tags"] if tag.lower() not in name]
    random.Random(name).shuffle(tags)
    tagged = [", ".join([name, *tags[k : k + 2]]) for k in (0, 2, 4) if tags[k : k + 2]]
    return plain + tagged
