"""Charts of profiles and schedules, as PNG files."""

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import write_atomically
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.show.images.sample_images import check_output
from meancache_plan.show.landscape import hold_surfaces
from meancache_plan.show.style import COLOURS, plain
from meancache_runtime.schedule import Plan

DPI = 120


def plot_profile(profile: Profile, path: Path, *, plan: PlanEntry | None = None) -> None:
    """Heat map of the mean deviation of ``hold`` over (t, s), with a plan's intervals over it.

    Raises:
        InputError: The plan is for another number of steps, or ``path`` cannot be written.
    """
    steps, run_steps = profile.steps, profile.settings.run_steps
    if plan is not None and plan.knots[-1] >= run_steps:
        raise InputError(
            f"the plan has more steps than the profile's {run_steps}: use its own profile"
        )
    surface = hold_surfaces(profile).mean(axis=0).T  # row s, column t
    surface[surface <= 0] = np.nan  # edges of one step are exact
    figure, axes = _figure(7.6, 7.0)
    largest = float(np.nanmax(surface, initial=1e-12))
    scale = LogNorm(max(float(np.nanmin(surface, initial=largest)), largest * 1e-3), largest)
    image = axes.imshow(
        surface,
        origin="lower",
        norm=scale,
        cmap="viridis",
        extent=(-0.5, steps - 0.5, -0.5, steps + 0.5),
    )
    figure.colorbar(image, ax=axes, label=r"deviation  mean $|u(t{\to}s) - v_t|$", shrink=0.85)
    axes.set(xlabel="knot t (step where the denoiser runs)", ylabel="end s of the interval t→s")
    _sigma_axis(axes, profile.sigmas)
    title = rf"Deviation of reusing $v_t$ until s, mean of {profile.samples} samples"
    if plan is not None:
        title += f"\nsteps: the plan for budget {plan.budget}; dots: its intervals"
        _draw_intervals(axes, plan.plan.before(steps), steps)
    axes.set_title(title, fontsize=11)
    save(figure, path)


def _draw_intervals(axes: Axes, plan: Plan, steps: int) -> None:
    """A staircase along the diagonal: up an interval's length, then on to the next knot."""
    bounds = (*plan.knots, steps)
    corners = [(t, y) for t, s in pairwise(bounds) for y in (t, s)] + [(steps, steps)]
    axes.plot(*zip(*corners, strict=True), color="white", linewidth=2.6, solid_joinstyle="miter")
    axes.plot(*zip(*corners, strict=True), color="black", linewidth=1.2, solid_joinstyle="miter")
    for t, s, interval in zip(plan.knots, bounds[1:], plan.intervals, strict=True):
        axes.plot(t, s, "o", color=COLOURS[interval.name], markeredgecolor="white", zorder=3)
    _legend_predictors(axes, [interval.name for interval in plan.intervals], "lower right")
    axes.set(xlim=(-0.5, steps - 0.5), ylim=(-0.5, steps + 0.5))


def plot_schedule(schedule: Schedule, path: Path) -> None:
    """Timelines of all plans over the grid: coloured at knots, grey where cached.

    Raises:
        InputError: ``path`` cannot be written.
    """
    steps, plans = schedule.grid.steps, schedule.plans
    figure, axes = _figure(9.0, min(1.9 + 0.34 * len(plans), 24.0))
    for row, plan in enumerate(plans):
        ends = (*plan.knots[1:], steps)
        for t, s, interval in zip(plan.knots, ends, plan.intervals, strict=True):
            cached = Rectangle((t, row - 0.38), s - t, 0.76, facecolor="#e4e4e4")
            fresh = Rectangle((t, row - 0.38), 0.92, 0.76, facecolor=COLOURS[interval.name])
            axes.add_patch(cached)
            axes.add_patch(fresh)
    axes.set(xlim=(0, steps), ylim=(len(plans) - 0.4, -0.6), xlabel="step", ylabel="budget")
    axes.set_yticks(range(len(plans)), [str(plan.budget) for plan in plans])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if schedule.grid.sigmas is not None:
        _sigma_axis(axes, schedule.grid.sigmas)
    used = [interval.name for plan in plans for interval in plan.intervals]
    _legend_predictors(axes, used, "upper left", anchor=(1.01, 1.0))
    name = "any model" if schedule.model is None else plain(schedule.model.id)
    title = f"{name}: where the denoiser runs, and what predicts the steps after it"
    axes.set_title(title, fontsize=11, parse_math=False)
    save(figure, path)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _sigma_axis(axes: Axes, sigmas: Sequence[float]) -> None:
    """Name the noise levels of some steps along the top."""
    steps = len(sigmas) - 1
    ticks = sorted({round(i * steps / 10) for i in range(11)})
    top = axes.secondary_xaxis("top")
    top.set_xticks(ticks, [f"{sigmas[step]:.2f}" for step in ticks])
    top.set_xlabel("noise level σ")


def _legend_predictors(
    axes: Axes, used: Sequence[str], place: Any, anchor: tuple[float, float] | None = None
) -> None:
    handles = [Patch(color=colour, label=name) for name, colour in COLOURS.items() if name in used]
    axes.legend(handles=handles, title="predictor", loc=place, bbox_to_anchor=anchor)


def save(figure: Figure, path: Path) -> None:
    """Render to PNG in memory, then write at once. Raises InputError if it cannot be written."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=DPI)
    write_atomically(check_output(path), stream.getvalue())
