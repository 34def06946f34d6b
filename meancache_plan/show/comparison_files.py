"""The files that a comparison leaves."""

import csv
import io
from pathlib import Path

from meancache_plan.files.atomic import check_writable, write_atomically
from meancache_plan.files.journal import forget
from meancache_plan.judge.compare.result import COSTS, QUALITIES, Comparison, Figures, Row
from meancache_plan.show.images.comparison import plot_comparison
from meancache_plan.show.images.pictures import check_output


def check_outputs(json_file: Path | None, csv_file: Path | None, plot: Path | None) -> None:
    """Refuse what cannot be written before any work is done.

    Raises:
        InputError: A directory is missing, or the picture's name does not end in .png.
    """
    for file in filter(None, (json_file, csv_file)):
        check_writable(file)
    if plot is not None:
        check_output(plot)


def kept_beside(json_file: Path | None) -> Path | None:
    """Where finished samples are kept until the figures are written: ``FILE.partial/``."""
    return None if json_file is None else json_file.with_name(json_file.name + ".partial")


def write_comparison(
    comparison: Comparison,
    *,
    json_file: Path | None = None,
    csv_file: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Write what is asked for, then drop the finished samples: they are in the figures.

    Raises:
        InputError: A file cannot be written.
    """
    if json_file is not None:
        write_atomically(json_file, comparison.to_json().encode())
    if csv_file is not None:
        write_atomically(csv_file, to_csv(comparison).encode())
    if plot is not None:
        plot_comparison(comparison, plot)
    folder = kept_beside(json_file)
    if folder is not None:
        forget(folder)


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
