"""The planning graph as a file: GraphML for other tools, or a picture."""

import io
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable, write_atomically
from meancache_plan.schedule.artifact import PlanEntry
from meancache_plan.show.style import COLOURS

DPI = 120

POINTS = 48
"""Of an arc that is drawn."""


def write_graph(
    graph: "nx.MultiDiGraph[int]", path: Path, *, plan: PlanEntry | None = None
) -> None:
    """Write a planning graph as GraphML, or draw it, by the ending of the file's name.

    Args:
        graph: See :func:`meancache_plan.planning_graph`.
        path: Ends in .graphml or .png.
        plan: Drawn beneath the graph, by which it should have been found.

    Raises:
        InputError: The name ends otherwise, the plan is for another number of steps, or ``path``
            cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in (".graphml", ".png"):
        raise InputError(f"{path}: a graph is written as GraphML or PNG: name it .graphml or .png")
    check_writable(path)
    if plan is not None and plan.knots[-1] >= len(graph) - 1:
        raise InputError(
            f"the plan has more steps than the graph's {len(graph) - 1}: use its own profile"
        )
    stream = io.BytesIO()
    if kind == ".graphml":
        nx.write_graphml(graph, stream)
    else:
        _drawn(graph, plan).savefig(stream, format="png", dpi=DPI)
    write_atomically(path, stream.getvalue())


def _drawn(graph: "nx.MultiDiGraph[int]", plan: PlanEntry | None) -> Figure:
    """Steps along the σ axis; above, of parallel edges the lightest; beneath, the plan."""
    sigmas = [float(graph.nodes[step]["sigma"]) for step in range(len(graph))]
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw_edges(figure, axes, graph, sigmas)
    axes.plot(sigmas, [0.0] * len(sigmas), "o", color="#333333", markersize=2.5, zorder=3)
    title = f"Every interval t→s of the problem, by what it costs ({graph.graph['predictors']})"
    if plan is not None:
        title += f"\nbeneath: the plan for budget {plan.budget}"
        _draw_plan(axes, plan, sigmas)
    axes.set_title(title, fontsize=11)
    axes.set(xlabel="noise level σ", yticks=[])
    axes.spines[["top", "right", "left"]].set_visible(False)
    if sigmas[0] > sigmas[-1]:
        axes.invert_xaxis()
    return figure


def _draw_edges(
    figure: Figure, axes: Axes, graph: "nx.MultiDiGraph[int]", sigmas: list[float]
) -> None:
    least: dict[tuple[int, int], float] = {}
    for t, s, cost in graph.edges(data="cost"):
        least[t, s] = min(float(cost), least.get((t, s), np.inf))
    costly = sorted(least, key=lambda ends: -least[ends])  # the cheapest are drawn last, on top
    costs = np.array([least[ends] for ends in costly])
    largest = float(costs.max(initial=1e-12)) or 1e-12
    smallest = float(costs[costs > 0].min(initial=largest))  # edges of one step may be exact
    lines = LineCollection(
        [_arc(sigmas[t], sigmas[s]) for t, s in costly],
        array=np.maximum(costs, smallest),
        norm=LogNorm(max(smallest, largest * 1e-4) * 0.999, largest),
        cmap="viridis",
        linewidths=0.7,
        alpha=0.8,
    )
    axes.add_collection(lines)
    axes.autoscale_view()
    figure.colorbar(lines, ax=axes, label="cost C", shrink=0.85)


def _draw_plan(axes: Axes, plan: PlanEntry, sigmas: list[float]) -> None:
    bounds = pairwise((*plan.knots, len(sigmas) - 1))
    for (t, s), interval in zip(bounds, plan.intervals, strict=True):
        arc = _arc(sigmas[t], sigmas[s])
        axes.plot(arc[:, 0], -arc[:, 1], color=COLOURS[interval.name], linewidth=2.0)
        axes.plot(sigmas[t], 0.0, "o", color=COLOURS[interval.name], markersize=5, zorder=4)
    used = dict.fromkeys(interval.name for interval in plan.intervals)
    handles = [Patch(color=COLOURS[name], label=name) for name in used]
    axes.legend(handles=handles, title="predictor", loc="upper left")


def _arc(start: float, end: float) -> NDArray[np.float64]:
    """Half a circle over start … end, float64 [POINTS, 2]."""
    angles = np.linspace(0.0, np.pi, POINTS)
    middle, radius = (start + end) / 2, abs(end - start) / 2
    return np.stack([middle + radius * np.cos(angles), radius * np.sin(angles)], axis=1)
