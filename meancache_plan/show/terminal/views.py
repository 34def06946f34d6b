"""Profiles and schedules as a person wants them, in a terminal of 80 columns."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.errors import InputError
from meancache_plan.measure.profile import Profile, load_profile
from meancache_plan.plan.planning_problem import Choices, planning_graph
from meancache_plan.schedule.artifact import (
    Generation,
    ModelIdentity,
    PlanEntry,
    Schedule,
    load_schedule,
)
from meancache_plan.schedule.provenance import PlanRecord
from meancache_plan.schedule.pruning import pruned_notes
from meancache_plan.show.images.graph_file import write_graph
from meancache_plan.show.images.schedule_charts import plot_profile, plot_schedule
from meancache_plan.show.landscape import by_length, hold_surfaces, spread
from meancache_plan.show.page.report_checks import check_profile
from meancache_plan.show.payoff import payoff_notes
from meancache_plan.show.style import COLOURS, plain
from meancache_plan.show.terminal.candidates_view import candidates_view
from meancache_plan.show.terminal.quality_notes import quality_notes
from meancache_plan.show.terminal.reliability_facts import (
    profile_facts,
    schedule_facts,
    stability_note,
    start_words,
)
from meancache_plan.show.terminal.summary_view import summary_view
from meancache_plan.show.terminal.widgets import Sparkline, Timeline, fact_list
from meancache_runtime.call_settings import shown

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24)
"""Lengths of the edges in a profile's heat map."""


def show(
    file: Path,
    *,
    plot: Path | None = None,
    graph: Path | None = None,
    profile: Path | None = None,
    budget: int | None = None,
) -> RenderableType:
    """View a profile or schedule file, and draw it into ``plot``.

    Args:
        file: What ``calibrate`` or ``solve`` wrote.
        plot: PNG file for the picture; none by default.
        graph: GraphML or PNG file for the planning graph of the profile, the schedule's plan with
            it if there is one; none by default.
        profile: Draw a plan of the schedule over this profile's deviations, or with its graph.
        budget: Which plan to show in detail, and to draw there; by default the largest is drawn.

    Raises:
        InputError: The file cannot be read or is neither, or the options do not fit it.
        ProfileError: The profile is not valid.
        ScheduleError: The schedule is not valid.
        BudgetError: The schedule has no plan for ``budget``.
    """
    if profile is not None and plot is None and graph is None:
        raise InputError(
            "--profile draws a plan over its deviations: say where with --plot, or --graph"
        )
    if plot is not None and graph is not None and plot.resolve() == graph.resolve():
        raise InputError(f"--plot and --graph: both write {plot}: name two files")
    if not _is_json(file):
        if budget is not None:
            reason = "that is a profile: --budget is for schedules; solve it first"
            raise InputError(f"{file}: {reason}")
        return _drawn(load_profile(file), plot, graph)
    if graph is not None and profile is None:
        raise InputError(f"{file}: the graph is of a profile: name it with --profile")
    schedule = load_schedule(file)
    budgets = [plan.budget for plan in schedule.plans]
    wanted = budgets[-1] if budget is None else budget
    chosen = schedule.replayable().plan(wanted).budget
    plan = schedule.plans[budgets.index(chosen)]
    measured = None if profile is None else load_profile(profile)
    caution = None if measured is None else check_profile(schedule, measured)
    if graph is not None and measured is not None:
        write_graph(planning_graph(measured, **_choices(schedule)), graph, plan=plan)
    if plot is not None and measured is not None:
        plot_profile(measured, plot, plan=plan)
    elif plot is not None:
        plot_schedule(schedule, plot)
    view = show_schedule(schedule, budget=None if budget is None else chosen)
    return view if caution is None else Group(view, Text(caution, style="dim"))


def _drawn(measured: Profile, plot: Path | None, graph: Path | None) -> RenderableType:
    """View a profile, and draw it where that is asked for."""
    if plot is not None:
        plot_profile(measured, plot)
    if graph is not None:
        write_graph(planning_graph(measured), graph)
    return show_profile(measured)


def _choices(schedule: Schedule) -> Choices:
    """How a schedule was planned, as far as it is known."""
    made = schedule.calibrated
    if made is None:
        return {}
    return cast(Choices, {name: getattr(made, name) for name in Choices.__annotations__})


def _is_json(file: Path) -> bool:
    """Whether it starts as a schedule does, not as a profile; refuses what is neither."""
    try:
        with file.open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); give a profile or a schedule"
        ) from error
    if start.lstrip()[:1] == b"{":
        return True
    if start[8:9] != b"{":  # safetensors: eight bytes of length, then JSON
        raise InputError(
            f"{file}: neither a profile (safetensors) nor a schedule (JSON); give a file that "
            "calibrate or solve wrote"
        )
    return False


def show_profile(profile: Profile) -> RenderableType:
    """What was measured, and where on the grid reuse of a velocity goes wrong."""
    settings = profile.settings
    made = _generation(settings.generation)
    versions = ", ".join(f"{name} {version}" for name, version in settings.versions.items())
    facts = {
        "profile": _short(profile.fingerprint),
        **_model_facts(settings.model),
        "grid": _grid_fact(settings.run_sigmas),
        "samples": f"{profile.samples} of {settings.samples_total}, {made}",
        "latents": " × ".join(map(str, settings.latent_shape)),
        "measured": f"edges up to {settings.max_edge} steps, K up to {settings.max_window}",
        "made with": versions or "–",
    }
    if profile.seconds_per_step > 0:
        facts["seconds"] = f"{profile.seconds_per_step:.3g} per step"
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


def show_schedule(
    schedule: Schedule, *, budget: int | None = None, seconds: float = 0.0
) -> RenderableType:
    """What a schedule is for, where it comes from, and one line a plan; a single plan as a whole.

    Args:
        schedule: The schedule.
        budget: Show this budget's plan instead: its timeline, and all candidates for it.
        seconds: Of one refresh where it was calibrated; 0 if that is not known.
    """
    made = schedule.calibrated
    facts = {
        **_model_facts(schedule.model),
        "grid": f"{_grid_fact(schedule.grid.sigmas, schedule.grid.steps)}, "
        f"tolerance {schedule.grid.tolerance:g}",
        "generation": _generation(schedule.generation) if schedule.generation else "any",
    }
    if schedule.starting is not None:
        rule = schedule.starting
        facts["planned by"] = f"{rule.tool}: {start_words(rule.start.source)}"
    if made is not None:
        facts["planned by"] = (
            f"{made.tool}: {made.planner} over {', '.join(made.predictors)}; metric {made.metric}, "
            f"weighting {made.weighting}, {made.statistic} over samples, γ = {made.gamma:g}, "
            f"edges up to {made.max_edge} steps"
        )
        facts["profile"] = f"{_short(made.profile)} ({made.samples} samples)"
        facts |= schedule_facts(made.reliability)
    plans = [plan for plan in schedule.plans if budget in (None, plan.budget)]
    view = summary_view(schedule)
    if len(plans) == 1:
        record = made.record(plans[0].budget) if made is not None else None
        view = _plan_view(plans[0], schedule.grid.steps, record, every=budget is not None)
    told = [*pruned_notes(schedule), *payoff_notes(schedule, seconds)]
    notes = [Text(plain(note), style="dim") for note in told]
    return Group(fact_list(facts), view, *notes)


def _plan_view(
    plan: PlanEntry, steps: int, record: PlanRecord | None, *, every: bool
) -> RenderableType:
    """A plan's timeline, what is known of it, and candidates for it: all, or the leading ones."""
    kinds = [interval.name for interval in plan.intervals]
    refreshes = len(plan.knots)
    head = Text.assemble(
        (f"budget {plan.budget}", "bold"),
        f"  {refreshes} refreshes in {steps} steps, {steps / refreshes:.2f}× in theory: ",
    )
    for i, (kind, count) in enumerate(Counter(kinds).items()):
        head.append(", " if i else "").append(f"{count} {kind}", COLOURS[kind])
    timeline = Timeline(steps, dict(zip(plan.knots, kinds, strict=True)))
    notes = quality_notes(plan, record)
    stable = None if record is None else stability_note(plan.knots, record.stability)
    notes += [] if stable is None else [stable]
    tried = None if record is None else candidates_view(record, every=every)
    shown = [Text(note, style="dim") for note in notes]
    return Group(Text(), head, timeline, *shown, *([] if tried is None else [tried]))


def _model_facts(model: ModelIdentity | None) -> dict[str, str]:
    if model is None:
        return {"model": "any"}
    classes = ", ".join(name for name in (model.pipeline, model.scheduler) if name)
    parts = [model.id, f"revision {_short(model.revision)}" if model.revision else "", classes]
    facts = {"model": "; ".join(part for part in parts if part)}
    if model.fingerprint:
        facts["denoiser"] = _short(model.fingerprint)
    if model.adapters:
        facts["adapters"] = ", ".join(adapter.name for adapter in model.adapters)
    return facts


def _grid_fact(sigmas: Sequence[float] | None, steps: int = 0) -> str:
    if sigmas is None:
        return f"any of {steps} steps"
    return f"{len(sigmas) - 1} steps, σ {sigmas[0]:.4g} → {sigmas[-1]:.4g}"


def _generation(made: Generation) -> str:
    size = "default size" if made.height is None else f"{made.width} × {made.height} pixels"
    frames = [] if made.frames is None else [f"{made.frames} frames"]
    asked = [f"{name} {shown(value)}" for name, value in made.asked.items()]
    return ", ".join([size, *frames, made.dtype, *asked])


def _short(sha256: str) -> str:
    """Enough of a hash to tell it from others."""
    return sha256 if len(sha256) <= 24 else sha256[:19] + "…"
