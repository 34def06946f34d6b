"""Charts of profiles, schedules and evaluations, as PNG files."""

import io
from collections.abc import Sequence
from itertools import cycle, pairwise
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
from meancache_plan.judge.result import CEILING, Evaluation, Method, Row
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.show.images.pictures import check_output
from meancache_plan.show.landscape import hold_surfaces
from meancache_plan.show.style import COLOURS, plain

STYLES: dict[Method, tuple[str, str]] = {
    "plan": ("#cc3311", "o"),
    "uniform-adams": (COLOURS["adams"], "s"),
    "uniform-hold": (COLOURS["hold"], "D"),
    "fewer-steps": ("#777777", "v"),
}
"""Colour and marker of each method that every evaluation has."""

RIVALS = (("#aa3377", "P"), ("#66ccee", "X"), ("#bbaa22", "*"))
"""Those of rival schedules, in turn."""

DPI = 120


def plot_profile(profile: Profile, path: Path, *, plan: PlanEntry | None = None) -> None:
    """Heat map of the mean deviation of ``hold`` over (t, s), with a plan's intervals over it.

    Raises:
        InputError: The plan is for another number of steps, or ``path`` cannot be written.
    """
    steps = profile.steps
    if plan is not None and plan.knots[-1] >= steps:
        raise InputError(f"the plan has more steps than the profile's {steps}: use its own profile")
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
        _draw_intervals(axes, plan, steps)
    axes.set_title(title, fontsize=11)
    _save(figure, path)


def _draw_intervals(axes: Axes, plan: PlanEntry, steps: int) -> None:
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
    _save(figure, path)


def plot_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Quality against denoiser calls, every method: means, 95 % intervals, worst samples.

    Samples identical to the full ones are left out: their PSNR is a matter of definition.

    Raises:
        InputError: ``path`` cannot be written.
    """
    panels = {
        "psnr_latent": "PSNR of latents, dB",
        "psnr": "PSNR of pictures, dB",
        "ssim": "SSIM",
        "flip": "FLIP error (less is better)",
    }
    figure = Figure(figsize=(10.0, 7.4), layout="constrained")
    grid: Any = figure.subplots(2, 2)
    for axes, (name, label) in zip(grid.flat, panels.items(), strict=True):
        _draw_figure(axes, evaluation.rows, name)
        axes.set(xlabel="denoiser calls per sample", ylabel=label)
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
    _save(figure, path)


def _draw_figure(axes: Axes, rows: Sequence[Row], name: str) -> None:
    """One figure of merit; methods stand side by side at each number of calls."""
    plain = [row for row in rows if row.method != "full" and row.psnr_latent < CEILING]
    apart = 0.012 * (max((row.calls for row in plain), default=1) + 2)
    names = list(dict.fromkeys(row.method for row in plain))
    rivals = zip((name for name in names if name not in STYLES), cycle(RIVALS), strict=False)
    styles = {**STYLES, **dict(rivals)}
    for place, method in enumerate(names):
        colour, marker = styles[method]
        mine = sorted((r for r in plain if r.method == method), key=lambda row: row.calls)
        x = np.array([row.calls + (place - (len(names) - 1) / 2) * apart for row in mine])
        y = np.array([getattr(row, name) for row in mine])
        low_high = np.array([getattr(row, f"{name}_interval") for row in mine]).reshape(-1, 2).T
        worst = [getattr(row, f"{name}_worst") for row in mine]
        axes.errorbar(
            x, y, yerr=np.abs(low_high - y), color=colour, marker=marker, markersize=5,
            linewidth=1.2, capsize=3, label=method,
        )  # fmt: skip
        axes.plot(x, worst, marker, color=colour, markersize=4, fillstyle="none", alpha=0.7)
    calls = sorted({row.calls for row in plain})
    if len(calls) <= 10:
        axes.set_xticks(calls)


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


def _save(figure: Figure, path: Path) -> None:
    """Render to PNG in memory, then write at once."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=DPI)
    write_atomically(check_output(path), stream.getvalue())
