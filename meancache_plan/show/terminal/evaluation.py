"""Evaluations as a person wants them: a table of 80 columns, a chart, a sheet of pictures."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.judge.result import CEILING, HIGHER_IS_BETTER, Evaluation, Row
from meancache_plan.show.style import plain

ALIKE = 1e-3
"""Mean latent PSNR in dB that rounding moves at most: rows closer than that took the same steps."""


def evaluation_table(evaluation: Evaluation) -> RenderableType:
    """One line per method and budget; beneath each mean its 95 % interval."""
    with_lpips = any(row.lpips is not None for row in evaluation.rows)
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in ("B", "calls", "latent\nPSNR", "\nworst", "picture\nPSNR", "\nworst", "SSIM"):
        table.add_column(heading, justify="right", vertical="top", no_wrap=True)
    for heading in ("FLIP", *(["LPIPS"] if with_lpips else []), "s", "speed-\nup"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = _best(evaluation.rows)
    before = evaluation.rows[0].budget
    for row in evaluation.rows:
        if row.budget != before or (row.method == "plan" and before == evaluation.steps):
            table.add_section()
        before = row.budget
        table.add_row(*_cells(row, best, with_lpips))
    samples = evaluation.prompts * len(evaluation.seeds)
    caption = (
        f"{samples} samples (prompts × seeds: {evaluation.prompts} × {len(evaluation.seeds)}) "
        f"against {_full_run(evaluation)}. B: budget. PSNR in dB, beneath it the 95 % "
        f"interval of its mean. s: seconds per sample, on {evaluation.device}."
    )
    notes = [caption, *_twins(evaluation.rows)]
    return Group(table, *(Text(plain(note), style="dim") for note in notes))


def _twins(rows: Sequence[Row]) -> list[str]:
    """Says where fewer steps are the very steps of holding velocities over as many intervals.

    Where B divides T and the noise levels of B steps are every (T/B)th of the T ones, both take
    the same Euler steps, z ← z + (σ_next − σ)·v.
    """
    held = {row.budget: row.psnr_latent for row in rows if row.method == "uniform-hold"}
    fewer = {row.budget: row.psnr_latent for row in rows if row.method == "fewer-steps"}
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


def _full_run(evaluation: Evaluation) -> str:
    if evaluation.finer_steps is None:
        return f"all {evaluation.steps} steps"
    return (
        f"a finer run of {evaluation.finer_steps} steps (row full), at which these plans of "
        f"{evaluation.steps} steps aim"
    )


def _best(rows: Sequence[Row]) -> set[tuple[str, int, str]]:
    """(figure, budget, method) of the best mean of each figure at each budget."""
    found: set[tuple[str, int, str]] = set()
    for budget in {row.budget for row in rows if row.method != "full"}:
        group = [row for row in rows if row.budget == budget and row.method != "full"]
        for name, higher in HIGHER_IS_BETTER.items():
            values = {row.method: getattr(row, name) for row in group}
            if None not in values.values():
                top = max(values.values()) if higher else min(values.values())
                found |= {(name, budget, method) for method, v in values.items() if v == top}
    return found


def _cells(row: Row, best: set[tuple[str, int, str]], with_lpips: bool) -> list[Text]:
    full = row.method == "full"

    def mean(name: str, digits: int) -> Text:
        value: float | None = getattr(row, name)
        style = "bold" if (name, row.budget, row.method) in best else ""
        return Text("–" if full or value is None else f"{value:.{digits}f}", style=style)

    def decibels(name: str) -> list[Text]:
        if full or getattr(row, name) == CEILING:
            return [Text("–" if full else "same")] * 2
        low, high = getattr(row, f"{name}_interval")
        interval = Text(f"\n{low:.1f}–{high:.1f}", style="dim")
        return [mean(name, 1).append_text(interval), Text(f"{getattr(row, f'{name}_worst'):.1f}")]

    method = Text(row.method, style="bold" if row.method == "plan" else "")
    figures = [*decibels("psnr_latent"), *decibels("psnr"), mean("ssim", 3), mean("flip", 3)]
    if with_lpips:
        figures.append(mean("lpips", 3))
    times = [Text(f"{row.seconds:.2f}"), Text(f"{row.speedup:.2f}×")]
    return [method, Text(str(row.budget)), Text(str(row.calls)), *figures, *times]
