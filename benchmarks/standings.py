"""What a contest comes to: tables, targets, files, and a plot."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from benchmarks.contest import ABLATIONS, BASELINES, REFINED, RELEASED, WITHOUT
from meancache_plan.judge.findings import Row, Spread

DIGITS = {10: 47.7, 16: 58.4}
"""Mean PSNR that the closed-form flow must reach, by budget."""

EARLY, LATE = 11, 16
"""``refined`` must be at B = 11 as good as ``released`` at 16."""

COLOURS = ("#999999", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#0072B2", "#000000", "#D55E00")
"""Okabe and Ito's, readable for all; one a method."""

MARKERS = "xv^sDo*P"


class Target(NamedTuple):
    """What is aimed at, in words, and whether it is met."""

    text: str
    met: bool

    def __str__(self) -> str:
        return f"{'PASS' if self.met else 'FAIL'}  {self.text}"


def words(spread: Spread, digits: int = 1, sign: str = "") -> str:
    """Mean, and the 95 % interval of it."""
    mean, *bounds = (f"{value:{sign}.{digits}f}" for value in (spread.mean, *spread.interval))
    return f"{mean} ({' to '.join(bounds)})"


def means(rows: Sequence[Row]) -> Table:
    """Mean PSNR of each method at each budget, and in brackets that of the worst tenth."""
    budgets = sorted({row.budget or 0 for row in rows})
    found = {(row.method, row.budget): row for row in rows}
    table = Table("mean PSNR (worst tenth), dB", box=box.MARKDOWN)
    for budget in budgets:
        table.add_column(f"B = {budget}", justify="right")
    for method in dict.fromkeys(row.method for row in rows):
        cells = [found.get((method, budget)) for budget in budgets]
        table.add_row(method, *(both(latents(cell)) if cell else "–" for cell in cells))
    return table


def both(spread: Spread) -> str:
    """Mean, and in brackets that of the worst tenth."""
    return f"{spread.mean:.1f} ({spread.worst_tenth:.1f})"


def details(rows: Sequence[Row]) -> Table:
    """Every figure, budget by budget."""
    table = Table("B", "method", box=box.MARKDOWN)
    for column in ("mean, dB", "95 % interval", "worst tenth", "worst"):
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: row.budget or 0):
        found = latents(row)
        low, high = found.interval
        figures = (f"{found.mean:.2f}", f"{low:.2f} to {high:.2f}")
        worst = (f"{found.worst_tenth:.2f}", f"{found.worst:.2f}")
        table.add_row(str(row.budget), row.method, *figures, *worst)
    return table


def latents(row: Row) -> Spread:
    """What methods are judged by: PSNR of final latents against the full runs', in dB."""
    return row.figure("psnr_latent")


def targets(rows: Sequence[Row], digits: bool) -> Iterator[Target]:
    """Compare ``refined`` with the baselines."""
    ours = {row.budget or 0: latents(row) for row in rows if row.method == REFINED}
    released = {row.budget: latents(row).mean for row in rows if row.method == RELEASED}
    for budget, own in ours.items():
        small = budget < 10
        rivals = [row for row in rows if row.method in BASELINES and row.budget == budget]
        best = max(rivals, key=lambda rival: latents(rival).mean)
        decile = max(rivals, key=lambda rival: latents(rival).worst_tenth)
        known, most = released[budget], latents(best).mean
        yield _at_least(budget, own.mean, known, 3 if small else 4, RELEASED)
        yield _at_least(budget, own.mean, most, 3, f"best baseline, {best.method}")
        worst = latents(decile).worst_tenth
        yield _at_least(budget, own.worst_tenth, worst, 0, f"worst tenth of {decile.method}")
    if EARLY in ours and LATE in released:
        goal = released[LATE]
        yield _at_least(EARLY, ours[EARLY].mean, goal, 0, f"{RELEASED} at B = {LATE}")
    for budget, goal in DIGITS.items() if digits else ():
        if budget in ours:
            yield _at_least(budget, ours[budget].mean, goal, 0, "the goal for digits")


def _at_least(budget: int, reached: float, other: float, gain: float, what: str) -> Target:
    text = f"B = {budget}: {REFINED} {reached:.2f} dB, {what} {other:.2f} dB"
    return Target(f"{text} + {gain:g}" if gain else text, reached >= other + gain)


def plot(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw quality against refreshes: a line a method, with its 95 % interval."""
    shown = [row for row in rows if row.method not in {**ABLATIONS, **WITHOUT}]
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
        axes: Any = figure.subplots()
        methods = dict.fromkeys(row.method for row in shown)
        for method, colour, marker in zip(methods, COLOURS, MARKERS, strict=True):
            own = [row for row in shown if row.method == method]
            budgets, found = [row.budget or 0 for row in own], [latents(row) for row in own]
            low, high = zip(*(spread.interval for spread in found), strict=True)
            mean = [spread.mean for spread in found]
            axes.fill_between(budgets, low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(budgets, mean, color=colour, marker=marker, label=method, lw=1.8)
        axes.set_xticks(sorted({row.budget or 0 for row in shown}))
        axes.set_xlabel("denoiser refreshes B")
        axes.set_ylabel("PSNR of the latents against all steps, dB")
        axes.set_title(title, loc="left")
        axes.grid(alpha=0.3)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], frameon=False, loc="outside right upper")
        figure.savefig(path)
