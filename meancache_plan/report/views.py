"""Profiles, schedules and evaluations as a person wants them, in a terminal of 80 columns."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.artifact import (
    Generation,
    ModelIdentity,
    Plan,
    PlanRecord,
    Schedule,
    load_schedule,
)
from meancache_plan.errors import InputError
from meancache_plan.evaluate.result import CEILING, HIGHER_IS_BETTER, Evaluation, Row
from meancache_plan.files import write_atomically
from meancache_plan.profile import Profile, load_profile
from meancache_plan.report.charts import plot_evaluation, plot_profile, plot_schedule
from meancache_plan.report.landscape import by_length, hold_surfaces, spread
from meancache_plan.report.pictures import contact_sheet
from meancache_plan.report.quality_view import quality_notes
from meancache_plan.report.reliability_view import (
    profile_facts,
    schedule_facts,
    stability_note,
)
from meancache_plan.report.terminal import STYLES, Sparkline, Timeline, fact_list, plain
from meancache_plan.requests import pruned_notes

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24)
"""Lengths of the edges in a profile's heat map."""


def show(
    file: Path, *, plot: Path | None = None, profile: Path | None = None, budget: int | None = None
) -> RenderableType:
    """View a profile or schedule file, and draw it into ``plot``.

    Args:
        file: What ``calibrate`` or ``solve`` wrote.
        plot: PNG file for the picture; none by default.
        profile: Draw a plan of the schedule over this profile's deviations.
        budget: Which plan to draw there; the largest by default.

    Raises:
        InputError: The file cannot be read, or the options do not fit it.
        ProfileError: The profile is not valid.
        ScheduleError: The schedule is not valid.
        BudgetError: The schedule has no plan for ``budget``.
    """
    if profile is not None and plot is None:
        raise InputError("--profile draws a plan over its deviations: say where with --plot")
    if not _is_json(file):
        measured = load_profile(file)
        if plot is not None:
            plot_profile(measured, plot)
        return show_profile(measured)
    schedule = load_schedule(file)
    budgets = [plan.budget for plan in schedule.plans]
    wanted = budgets[-1] if budget is None else budget
    chosen = schedule.replayable().plan(wanted).budget
    if plot is not None and profile is not None:
        plot_profile(load_profile(profile), plot, plan=schedule.plans[budgets.index(chosen)])
    elif plot is not None:
        plot_schedule(schedule, plot)
    return show_schedule(schedule)


def _is_json(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(4096).lstrip()[:1] == b"{"
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); give a profile or a schedule"
        ) from error


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


def evaluation_table(evaluation: Evaluation) -> RenderableType:
    """One line a method and budget; beneath each mean its 95 % interval."""
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
        f"against all {evaluation.steps} steps. B: budget. PSNR in dB, beneath it the 95 % "
        f"interval of its mean. s: seconds a sample, on {evaluation.device}."
    )
    return Group(table, Text(plain(caption), style="dim"))


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


def show_profile(profile: Profile) -> RenderableType:
    """What was measured, and where on the grid reuse of a velocity goes wrong."""
    settings = profile.settings
    made = _generation(settings.generation)
    versions = ", ".join(f"{name} {version}" for name, version in settings.versions.items())
    facts = {
        "profile": _short(profile.fingerprint),
        **_model_facts(settings.model),
        "grid": _grid_fact(profile.sigmas),
        "samples": f"{profile.samples} of {settings.samples_total}, {made}",
        "latents": " × ".join(map(str, settings.latent_shape)),
        "measured": f"edges up to {settings.max_edge} steps, K up to {settings.max_window}",
        "made with": versions or "–",
    }
    if profile.seconds_per_step > 0:
        facts["seconds"] = f"{profile.seconds_per_step:.3g} a step"
    found = spread(profile) if profile.has_l1 else None
    if found is not None:
        facts["prompts"] = (
            f"differ by ±{found.relative:.0%}; the most deviating, number "
            f"{found.prompt_index + 1}, is at {found.largest:.2f}× the mean"
        )
    facts |= profile_facts(profile)
    return Group(fact_list(facts), Text(), _heat_map(profile))


def _heat_map(profile: Profile) -> RenderableType:
    """Deviation of ``hold`` for a few lengths of edge, by the step that it starts at."""
    if not profile.has_l1:
        return Text("L1 deviations do not carry over to another grid", style="dim")
    surface = hold_surfaces(profile).mean(axis=0)
    lengths = [n for n in LENGTHS if n <= min(profile.index.max_edge, profile.steps)]
    if not lengths:
        return Text("no edge of two steps was measured", style="dim")
    rows = [by_length(surface, length) for length in lengths]
    table = Table.grid(padding=(0, 1, 0, 0))
    for length, row in zip(lengths, rows, strict=True):
        highest = float(np.nanmax(row))
        label = Text(f"{length} steps", justify="right")
        table.add_row(label, Sparkline(tuple(row), highest), Text(f"{highest:.3g}", style="dim"))
    title = Text("deviation of hold, mean|u − v|, by the step of the knot", style="bold")
    title.append("; right: a full block", style="not bold dim")
    return Group(title, table)


def show_schedule(schedule: Schedule) -> RenderableType:
    """What a schedule is for, where it comes from, and a timeline of each plan."""
    made = schedule.provenance
    facts = {
        **_model_facts(schedule.model),
        "grid": f"{_grid_fact(schedule.grid.sigmas, schedule.grid.steps)}, "
        f"tolerance {schedule.grid.tolerance:g}",
        "generation": _generation(schedule.generation) if schedule.generation else "any",
    }
    if made is not None:
        facts["planned by"] = (
            f"{made.tool}: {made.planner} over {', '.join(made.predictors)}; metric {made.metric}, "
            f"weighting {made.weighting}, {made.statistic} over samples, γ = {made.gamma:g}, "
            f"edges up to {made.max_edge} steps"
        )
        facts["profile"] = f"{_short(made.profile)} ({made.samples} samples)"
        facts |= schedule_facts(made.reliability)
    views: list[RenderableType] = []
    for plan in schedule.plans:
        record = made.record(plan.budget) if made is not None else None
        views.append(_plan_view(plan, schedule.grid.steps, record))
        note = stability_note(plan.knots, record.stability) if record is not None else None
        views += [] if note is None else [Text(note, style="dim")]
    views += [Text(plain(note), style="dim") for note in pruned_notes(schedule)]
    return Group(fact_list(facts), *views)


def _plan_view(plan: Plan, steps: int, record: PlanRecord | None) -> RenderableType:
    kinds = [interval.predictor for interval in plan.intervals]
    refreshes = len(plan.knots)
    head = Text.assemble(
        (f"budget {plan.budget}", "bold"),
        f"  {refreshes} refreshes in {steps} steps, {steps / refreshes:.2f}× in theory: ",
    )
    for i, (kind, count) in enumerate(Counter(kinds).items()):
        head.append(", " if i else "").append(f"{count} {kind}", STYLES[kind])
    timeline = Timeline(steps, dict(zip(plan.knots, kinds, strict=True)))
    notes = quality_notes(plan, record)
    return Group(Text(), head, timeline, *(Text(note, style="dim") for note in notes))


def _model_facts(model: ModelIdentity | None) -> dict[str, str]:
    if model is None:
        return {"model": "any"}
    classes = ", ".join(name for name in (model.pipeline, model.scheduler) if name)
    parts = [model.id, f"revision {_short(model.revision)}" if model.revision else "", classes]
    facts = {"model": "; ".join(part for part in parts if part)}
    if model.fingerprint:
        facts["denoiser"] = _short(model.fingerprint)
    if model.adapters:
        facts["adapters"] = ", ".join(model.adapters)
    return facts


def _grid_fact(sigmas: Sequence[float] | None, steps: int = 0) -> str:
    if sigmas is None:
        return f"any of {steps} steps"
    return f"{len(sigmas) - 1} steps, σ {sigmas[0]:.4g} → {sigmas[-1]:.4g}"


def _generation(made: Generation) -> str:
    size = "default size" if made.height is None else f"{made.width} × {made.height} pixels"
    frames = [] if made.frames is None else [f"{made.frames} frames"]
    guidance = [f"{name} {value:g}" for name, value in made.guidance.items()]
    return ", ".join([size, *frames, made.dtype, *guidance])


def _short(sha256: str) -> str:
    """Enough of a hash to tell it from others."""
    return sha256 if len(sha256) <= 24 else sha256[:19] + "…"
