"""The files that an evaluation leaves."""

from pathlib import Path

from meancache_plan.files.atomic import write_atomically
from meancache_plan.judge.findings import Evaluation
from meancache_plan.show.images.evaluation_charts import plot_evaluation
from meancache_plan.show.images.sample_images import contact_sheet


def write_evaluation(
    evaluation: Evaluation,
    *,
    json_file: Path | None = None,
    plot: Path | None = None,
    sheet: Path | None = None,
) -> None:
    """Write the figures, a chart of them, and a sheet of the kept pictures, as far as asked for.

    Raises:
        InputError: A file cannot be written, or a sheet is asked for and no picture was kept.
    """
    if json_file is not None:
        write_atomically(json_file, evaluation.to_json().encode())
    if plot is not None:
        plot_evaluation(evaluation, plot)
    if sheet is not None:
        contact_sheet(evaluation.shots, sheet)
