"""The files that a comparison leaves."""

from pathlib import Path

from meancache_plan.compare.chart import plot_comparison
from meancache_plan.compare.csv_file import to_csv
from meancache_plan.compare.result import Comparison
from meancache_plan.files import check_writable, write_atomically
from meancache_plan.journal import forget
from meancache_plan.report.pictures import check_output


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
