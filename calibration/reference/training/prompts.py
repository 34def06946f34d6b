"""Choose the calibration and the held-out prompts: disjoint subjects, spread evenly over groups.

The choice depends on the subject list and a seed alone, never on how the samples look.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import data
from subjects import Record, captions

SEED = 20240607
CALIBRATION, HELD_OUT = 96, 64


def draw(records: list[Record]) -> list[Record]:
    """Subjects in an order in which every stretch holds the groups in equal shares."""
    rng = random.Random(SEED)
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record["subject"]:
            groups.setdefault(record["group"], []).append(record)
    placed: list[tuple[float, str, Record]] = []
    for name, members in sorted(groups.items()):
        rng.shuffle(members)
        placed += [((i + 0.5) / len(members), name, m) for i, m in enumerate(members)]
    return [record for _, _, record in sorted(placed, key=lambda p: p[:2])]


def prompt(record: Record, rng: random.Random) -> str:
    """One of the subject's four plain captions; half of the time the first form."""
    return captions(record)[rng.choices(range(4), (3, 1, 1, 1))[0]]


def main() -> None:
    """Write the two prompt files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=data.DEFAULT_CACHE)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "prompts")
    options = parser.parse_args()
    write(data.load(options.cache)[1], options.out)


def write(records: list[Record], out: Path) -> None:
    """Write the two prompt files into a folder."""
    order = draw(records)
    rng = random.Random(SEED + 1)
    total = CALIBRATION + HELD_OUT
    chosen = [order[i * len(order) // total] for i in range(total)]
    held_out = {i * total // HELD_OUT for i in range(HELD_OUT)}
    texts = [prompt(record, rng) for record in chosen]
    out.mkdir(parents=True, exist_ok=True)
    for name, wanted in (("heldout", True), ("calibration", False)):
        lines = [text for i, text in enumerate(texts) if (i in held_out) is wanted]
        (out / f"reference-{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
