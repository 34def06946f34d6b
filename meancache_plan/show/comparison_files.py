"""The files that a comparison leaves."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from meancache_plan.files.atomic import check_writable, write_atomically
from meancache_plan.files.journal import beside, drop
from meancache_plan.judge.figures import FIGURES
from meancache_plan.judge.findings import Comparison, Row
from meancache_plan.show.images.comparison_chart import plot_comparison
from meancache_plan.show.images.sample_images import check_output


def check_outputs(json_file: Path | None, csv_file: Path | None, plot: Path | None) -> None:
    """Refuse what cannot be written before any work is done.

    Raises:
        InputError: A directory is missing, or the picture's name does not end in .png.
    """
    for file in filter(None, (json_file, csv_file)):
        check_writable(file)
    if plot is not None:
        check_output(plot)


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
        write_atomically(csv_file, to_csv(comparison.rows).encode())
    if plot is not None:
        plot_comparison(comparison, plot)
    if json_file is not None:
        drop(beside(json_file))


def to_csv(rows: Sequence[Row]) -> str:
    """A line a row, with each figure's mean, interval and worst sample; empty if not measured."""
    ends = ("", "_low", "_high", "_worst")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    about = ("method", "setting", "steps", "budget", "failure")
    writer.writerow([*about, *(f"{name}{end}" for name in FIGURES for end in ends)])
    writer.writerows(_line(row, len(ends)) for row in rows)
    return stream.getvalue()


def _line(row: Row, width: int) -> list[object]:
    cells: list[object] = [row.method, row.setting, row.steps, row.budget, row.failure]
    for name in FIGURES:
        found = row.figures.get(name)
        cells += [""] * width if found is None else [found.mean, *found.interval, found.worst]
    return cells
