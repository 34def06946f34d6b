"""The Pareto chart: quality against compute, and against seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meancache_plan.core.psnr import CEILING
from meancache_plan.judge.compare.equal_cost import Cost, cost_of
from meancache_plan.judge.figures import FIGURES
from meancache_plan.judge.findings import PLAN, Comparison, Row
from meancache_plan.show.images.schedule_charts import save
from meancache_plan.show.style import plain

PLAN_COLOUR = "#cc3311"
COLOURS = (
    *("#4477aa", "#228855", "#ee9922", "#aa4499", "#66ccee", "#777777", "#bbaa22"),
    *("#332288", "#cc6677", "#117733", "#882255", "#44aa99", "#999933", "#dd77aa"),
)
MARKERS = ("s", "D", "^", "v", "P", "X", "*", "<", ">", "p", "h", "d", "8", "1")

QUALITIES = ("psnr_latent", "flip")
COSTS: tuple[Cost, ...] = ("refreshes", "relative_seconds")
"""What the panels show: a line of them a quality, a column a cost."""


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Every setting as a point, the best of each peer joined by a line.

    Samples identical to the full ones are left out: their PSNR is a matter of definition.

    Raises:
        InputError: ``path`` cannot be written.
    """
    figure = Figure(figsize=(12.0, 9.6), layout="constrained")
    grid: Any = figure.subplots(2, 2)
    for line, quality in zip(grid, QUALITIES, strict=True):
        for axes, cost in zip(line, COSTS, strict=True):
            _panel(axes, comparison.measured(), cost, quality)
            median = ", median" if cost == "relative_seconds" else ""
            axes.set(xlabel=FIGURES[cost].label + median, ylabel=FIGURES[quality].axis)
            axes.set_xlim(0, 0.72 * (comparison.steps if cost == "refreshes" else 1))
            if quality == "flip":
                axes.set_yscale("log")
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    samples = comparison.prompts * len(comparison.seeds)
    figure.suptitle(
        f"{plain(comparison.model.id)}: {samples} samples against all {comparison.steps} steps; "
        "means, bars: 95 % intervals of the plans' means",
        fontsize=11,
        parse_math=False,
    )
    save(figure, path)


def _panel(axes: Axes, rows: Sequence[Row], cost: Cost, quality: str) -> None:
    peers = [name for name in dict.fromkeys(row.method for row in rows) if name != PLAN]
    for place, peer in enumerate((*peers, PLAN)):
        ours = peer == PLAN
        colour = PLAN_COLOUR if ours else COLOURS[place % len(COLOURS)]
        marker = "o" if ours else MARKERS[place % len(MARKERS)]
        points = [(row, *_point(row, cost, quality)) for row in rows if row.method == peer]
        points = [point for point in points if point[0].mean("psnr_latent") < CEILING]
        xs, ys = [x for _, x, _ in points], [y for _, _, y in points]
        size, strong = (7, 1.0) if ours else (4, 0.8)
        axes.plot(
            xs,
            ys,
            marker,
            color=colour,
            markersize=size,
            alpha=strong,
            label=_as_words(plain(peer)),
        )
        edge = front([(x, y) for _, x, y in points], FIGURES[quality].higher)
        width = 2.2 if ours else 1.0
        axes.plot(*zip(*edge, strict=True), "-", color=colour, linewidth=width, alpha=strong)
        if ours:
            _bars(axes, [row for row, _, _ in points], cost, quality)


def front(points: Sequence[tuple[float, float]], higher: bool) -> list[tuple[float, float]]:
    """The points that no cheaper one is as good as, from the cheapest on."""
    sign = 1 if higher else -1
    found: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not found or sign * y > sign * found[-1][1]:
            found.append((x, y))
    return found or [(float("nan"), float("nan"))]


def _bars(axes: Axes, rows: Sequence[Row], cost: Cost, quality: str) -> None:
    for row in rows:
        x, _ = _point(row, cost, quality)
        low, high = row.figure(quality).interval
        axes.plot([x, x], [low, high], color=PLAN_COLOUR, linewidth=1.2, alpha=0.7)


def _point(row: Row, cost: Cost, quality: str) -> tuple[float, float]:
    return cost_of(row, cost), row.mean(quality)


def _as_words(label: str) -> str:
    """A legend's label that is neither read as mathematics nor, for an underscore, left out."""
    return label.replace("$", r"\$").lstrip("_") or "schedule"
