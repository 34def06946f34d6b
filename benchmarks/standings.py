"""What a contest comes to: tables, targets, files, and a plot."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from benchmarks.contest import REFINED, RELEASED, Row

DIGITS = {10: 47.7, 16: 58.4}
"""Mean PSNR that the closed-form flow must reach, by budget."""

EARLY, LATE = 11, 16
"""``refined`` must be at B = 11 as good as ``released`` at 16."""

COLOURS = ("#999999", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#0072B2", "#D55E00")
"""Okabe and Ito's, readable for all; one a method."""

MARKERS = "xv^sDoP"


class Target(NamedTuple):
    """What is aimed at, in words, and whether it is met."""

    text: str
    met: bool

    def __str__(self) -> str:
        return f"{'PASS' if self.met else 'FAIL'}  {self.text}"


def means(rows: Sequence[Row]) -> Table:
    """Mean PSNR of each method at each budget."""
    budgets = sorted({row.budget for row in rows})
    found = {(row.method, row.budget): row for row in rows}
    table = Table("mean PSNR, dB", box=box.MARKDOWN)
    for budget in budgets:
        table.add_column(f"B = {budget}", justify="right")
    for method in dict.fromkeys(row.method for row in rows):
        cells = [found.get((method, budget)) for budget in budgets]
        table.add_row(method, *(f"{cell.mean:.1f}" if cell else "–" for cell in cells))
    return table


def details(rows: Sequence[Row]) -> Table:
    """Every figure, budget by budget."""
    table = Table("B", "method", box=box.MARKDOWN)
    for column in ("mean, dB", "95 % interval", "worst tenth", "worst"):
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: row.budget):
        figures = (f"{row.mean:.2f}", f"{row.low:.2f} to {row.high:.2f}")
        worst = (f"{row.decile:.2f}", f"{row.worst:.2f}")
        table.add_row(str(row.budget), row.method, *figures, *worst)
    return table


def targets(rows: Sequence[Row], digits: bool) -> Iterator[Target]:
    """Compare ``refined`` with the baselines."""
    ours = {row.budget: row for row in rows if row.method == REFINED}
    released = {row.budget: row for row in rows if row.method == RELEASED}
    for budget, own in ours.items():
        small = budget < 10
        rivals = [r for r in rows if r.role == "baseline" and r.budget == budget]
        best = max(rivals, key=lambda rival: rival.mean)
        decile = max(rivals, key=lambda rival: rival.decile)
        known = released[budget]
        yield _at_least(own, own.mean, known.mean, 4 if small else 6, RELEASED)
        yield _at_least(
            own, own.mean, best.mean, 3 if small else 4, f"best baseline, {best.method}"
        )
        yield _at_least(own, own.decile, decile.decile, 0, f"worst tenth of {decile.method}")
    if EARLY in ours and LATE in released:
        goal = released[LATE].mean
        yield _at_least(ours[EARLY], ours[EARLY].mean, goal, 0, f"{RELEASED} at B = {LATE}")
    for budget, goal in DIGITS.items() if digits else ():
        if budget in ours:
            yield _at_least(ours[budget], ours[budget].mean, goal, 0, "the goal for digits")


def _at_least(own: Row, reached: float, other: float, gain: float, what: str) -> Target:
    text = f"B = {own.budget}: {own.method} {reached:.2f} dB, {what} {other:.2f} dB"
    return Target(f"{text} + {gain:g}" if gain else text, reached >= other + gain)


def save_csv(rows: Iterable[Row], path: Path) -> None:
    """Write one line a row."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(Row._fields)
        writer.writerows(rows)


def plot(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw quality against refreshes: a line a method, with its 95 % interval."""
    shown = [row for row in rows if row.role != "ablation"]
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
        axes: Any = figure.subplots()
        methods = dict.fromkeys(row.method for row in shown)
        for method, colour, marker in zip(methods, COLOURS, MARKERS, strict=True):
            own = [row for row in shown if row.method == method]
            budgets, column = [row.budget for row in own], _columns(own)
            axes.fill_between(
                budgets, column("low"), column("high"), color=colour, alpha=0.15, lw=0
            )
            axes.plot(budgets, column("mean"), color=colour, marker=marker, label=method, lw=1.8)
        axes.set_xticks(sorted({row.budget for row in shown}))
        axes.set_xlabel("denoiser refreshes B")
        axes.set_ylabel("PSNR of the latents against all steps, dB")
        axes.set_title(title, loc="left")
        axes.grid(alpha=0.3)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], frameon=False, loc="outside right upper")
        figure.savefig(path)


def _columns(rows: Sequence[Row]) -> Callable[[str], list[float]]:
    return lambda name: [getattr(row, name) for row in rows]
