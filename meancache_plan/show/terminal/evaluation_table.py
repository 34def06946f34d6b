"""Evaluations as a person wants them: a table of 80 columns, a chart, a sheet of pictures."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.core.psnr import CEILING
from meancache_plan.judge.figures import Figure, qualities
from meancache_plan.judge.findings import FULL, PLAN, Evaluation, Row
from meancache_plan.judge.other_requests import words
from meancache_plan.show.strays import beyond
from meancache_plan.show.style import plain
from meancache_plan.show.terminal.frechet_table import frechet_table

ALIKE = 1e-3
"""Mean latent PSNR in dB that rounding moves at most: rows closer than that took the same steps."""


DIGITS = 3
"""At most so many after the point; one less, and none in intervals, where more than two figures
have no unit: eighty columns have no room for more."""


def evaluation_table(evaluation: Evaluation) -> RenderableType:
    """One line per method and budget; beneath each mean in dB its 95 % interval."""
    figures = qualities({name for row in evaluation.rows for name in row.figures})
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in ("B", "calls", *_headings(figures), "s", "speed\nup"):
        table.add_column(heading, justify="right", vertical="top", no_wrap=True)
    best = _best(evaluation.rows, figures)
    before = evaluation.rows[0].budget
    for row in evaluation.rows:
        if row.budget != before or (row.method == PLAN and before == evaluation.steps):
            table.add_section()
        before = row.budget
        table.add_row(*_cells(row, best, figures))
    samples = evaluation.prompts * len(evaluation.seeds)
    caption = (
        f"{samples} samples (prompts × seeds: {evaluation.prompts} × {len(evaluation.seeds)}) "
        f"against {_full_run(evaluation)}. B: budget. PSNR in dB, beneath it the 95 % "
        f"interval of its mean. s: seconds per sample, on {evaluation.device}."
    )
    asked = f"Other than in calibration: {words(evaluation.request)}."
    notes = [*([asked] if evaluation.request else []), caption]
    notes += [*_twins(evaluation.rows), *_strays(evaluation.rows)]
    found = [] if evaluation.frechet is None else [Text(), frechet_table(evaluation.frechet)]
    return Group(table, *(Text(plain(note), style="dim") for note in notes), *found)


def _twins(rows: Sequence[Row]) -> list[str]:
    """Says where fewer steps are the very steps of holding velocities over as many intervals.

    Where B divides T and the noise levels of B steps are every (T/B)th of the T ones, both take
    the same Euler steps, z ← z + (σ_next − σ)·v.
    """
    held, fewer = (
        {row.budget or 0: row.mean("psnr_latent") for row in rows if row.method == method}
        for method in ("uniform-hold", "fewer-steps")
    )
    same = [
        str(budget)
        for budget in sorted(held.keys() & fewer.keys())
        if held[budget] < CEILING and abs(held[budget] - fewer[budget]) < ALIKE
    ]
    if not same:
        return []
    return [
        f"uniform-hold and fewer-steps are alike at B = {', '.join(same)}: holding a velocity over "
        "equal intervals is taking longer Euler steps."
    ]


def _strays(rows: Sequence[Row]) -> list[str]:
    """Says how many samples left their plan's bounds, and at which knots, if any did."""
    left = {row.budget: beyond(row) for row in rows if row.method == PLAN}
    said = [f"B = {budget} {share}" for budget, share in left.items() if share]
    return [f"Samples beyond their plan's bounds: {'; '.join(said)}."] if said else []


def _full_run(evaluation: Evaluation) -> str:
    if evaluation.finer_steps is None:
        return f"all {evaluation.steps} steps"
    return (
        f"a finer run of {evaluation.finer_steps} steps (row full), at which these plans of "
        f"{evaluation.steps} steps aim"
    )


def _headings(figures: Sequence[Figure]) -> list[str]:
    headings = [(m.heading, "\nworst") if m.unit else (m.heading,) for m in figures]
    return [each for pair in headings for each in pair]


def _best(rows: Sequence[Row], figures: Sequence[Figure]) -> set[tuple[str, int | None, str]]:
    """(figure, budget, method) of the best mean of each figure at each budget."""
    found: set[tuple[str, int | None, str]] = set()
    for budget in {row.budget for row in rows}:
        group = [row for row in rows if row.budget == budget and row.method != FULL]
        for figure in figures:
            name = figure.name
            values = {row.method: row.mean(name) for row in group if name in row.figures}
            if values:
                top = max(values.values()) if figure.higher else min(values.values())
                found |= {(name, budget, method) for method, v in values.items() if v == top}
    return found


def _cells(
    row: Row, best: set[tuple[str, int | None, str]], figures: Sequence[Figure]
) -> list[Text]:
    crowded = sum(not figure.unit for figure in figures) > 2

    def cells(figure: Figure) -> list[Text]:
        name, spread = figure.name, row.figures.get(figure.name)
        if row.method == FULL or spread is None:
            return [Text("–")] * (2 if figure.unit else 1)
        style = "bold" if (name, row.budget, row.method) in best else ""
        mean = Text(f"{spread.mean:.{min(figure.digits, DIGITS - crowded)}f}", style=style)
        if not figure.unit:
            return [mean]
        if spread.mean == CEILING:
            return [Text("same")] * 2
        low, high = spread.interval
        interval = Text(f"\n{low:.{1 - crowded}f}–{high:.{1 - crowded}f}", style="dim")
        return [mean.append_text(interval), Text(f"{spread.worst:.1f}")]

    method = Text(row.method, style="bold" if row.method == PLAN else "")
    calls = max(row.figure("calls").samples)
    measured = [cell for figure in figures for cell in cells(figure)]
    times = [Text(f"{row.mean('seconds'):.2f}"), Text(f"{row.speedup or 1:.2f}×")]
    return [method, Text(str(row.budget)), Text(f"{calls:.0f}"), *measured, *times]
