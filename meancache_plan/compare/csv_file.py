"""A comparison as a spreadsheet: one line a row."""

import csv
import io

from meancache_plan.compare.result import COSTS, QUALITIES, Comparison, Figures, Row

NAMES = (*QUALITIES, *COSTS)
COLUMNS = (
    *("peer", "setting", "steps", "budget", "failure"),
    *(f"{name}{end}" for name in NAMES for end in ("", "_low", "_high", "_worst")),
)


def to_csv(comparison: Comparison) -> str:
    """The rows; what was not measured is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_line(row) for row in comparison.rows)
    return stream.getvalue()


def _line(row: Row) -> list[object]:
    start: list[object] = [row.peer, row.setting, row.steps, row.budget, row.failure]
    return start + [cell for name in NAMES for cell in _cells(row.figures, name)]


def _cells(figures: Figures | None, name: str) -> list[object]:
    spread = None if figures is None else getattr(figures, name)
    return [""] * 4 if spread is None else [spread.mean, *spread.interval, spread.worst]
