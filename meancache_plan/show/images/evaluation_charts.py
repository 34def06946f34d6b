"""Charts of an evaluation: every figure of quality against denoiser calls."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meancache_plan.core.psnr import CEILING
from meancache_plan.judge.figures import qualities
from meancache_plan.judge.findings import FULL, Evaluation, Row
from meancache_plan.show.images.schedule_charts import save
from meancache_plan.show.style import COLOURS, plain

STYLES: dict[str, tuple[str, str]] = {
    "plan": ("#cc3311", "o"),
    "uniform-adams": (COLOURS["adams"], "s"),
    "uniform-hold": (COLOURS["hold"], "D"),
    "fewer-steps": ("#777777", "v"),
}
"""Colour and marker of each method that every evaluation has."""

RIVALS = (("#aa3377", "P"), ("#66ccee", "X"), ("#bbaa22", "*"))
"""Those of rival schedules, in turn."""


def plot_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Quality against denoiser calls, every method: means, 95 % intervals, worst samples.

    Samples identical to the full ones are left out: their PSNR is a matter of definition.

    Raises:
        InputError: ``path`` cannot be written.
    """
    figures = qualities({name for row in evaluation.rows for name in row.figures})
    lines = -(-len(figures) // 2)
    figure = Figure(figsize=(10.0, 3.7 * lines), layout="constrained")
    grid: Any = figure.subplots(lines, 2, squeeze=False)
    for axes in grid.flat[len(figures) :]:
        axes.set_visible(False)
    for axes, each in zip(grid.flat, figures, strict=False):
        _draw_figure(axes, evaluation.rows, each.name)
        axes.set(xlabel="denoiser calls per sample", ylabel=each.axis)
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    samples = evaluation.prompts * len(evaluation.seeds)
    steps = evaluation.finer_steps or evaluation.steps
    figure.suptitle(
        f"{plain(evaluation.model.id)}: {samples} samples against all {steps} steps\n"
        "filled: mean with its 95 % interval; hollow: worst sample",
        fontsize=11,
        parse_math=False,
    )
    save(figure, path)


def _draw_figure(axes: Axes, rows: Sequence[Row], name: str) -> None:
    """One figure of merit; methods stand side by side at each number of calls."""
    shown = [row for row in rows if row.method != FULL and row.mean("psnr_latent") < CEILING]
    apart = 0.012 * (max((_calls(row) for row in shown), default=1) + 2)
    names = list(dict.fromkeys(row.method for row in shown))
    rivals = zip((name for name in names if name not in STYLES), cycle(RIVALS), strict=False)
    styles = {**STYLES, **dict(rivals)}
    for place, method in enumerate(names):
        colour, marker = styles[method]
        mine = sorted((row for row in shown if row.method == method), key=_calls)
        spreads = [row.figure(name) for row in mine]
        x = np.array([_calls(row) + (place - (len(names) - 1) / 2) * apart for row in mine])
        y = np.array([spread.mean for spread in spreads])
        low_high = np.array([spread.interval for spread in spreads]).reshape(-1, 2).T
        axes.errorbar(
            x, y, yerr=np.abs(low_high - y), color=colour, marker=marker, markersize=5,
            linewidth=1.2, capsize=3, label=method,
        )  # fmt: skip
        worst = [spread.worst for spread in spreads]
        axes.plot(x, worst, marker, color=colour, markersize=4, fillstyle="none", alpha=0.7)
    calls = sorted({_calls(row) for row in shown})
    if len(calls) <= 10:
        axes.set_xticks(calls)


def _calls(row: Row) -> float:
    return max(row.figure("calls").samples)
