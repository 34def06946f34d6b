"""A schedule's plans at a glance: one line a budget."""

from collections import Counter
from collections.abc import Callable, Collection

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.core.psnr import CEILING
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.schedule.provenance import PlanRecord

QUALITIES = {
    "predicted": "predicted from the calibration",
    "validated": "validated on calibration prompts",
    "measured": "measured on held-out prompts",
}
"""Columns of mean latent PSNR, and what the legend says of each."""

Figure = Callable[[PlanEntry, PlanRecord | None], str]


def summary_view(schedule: Schedule) -> RenderableType:
    """The table, without columns in which nothing stands; at most 80 columns wide."""
    made = schedule.calibrated
    records = [made.record(plan.budget) if made is not None else None for plan in schedule.plans]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False, pad_edge=False)
    columns: dict[str, Figure] = {
        "budget": lambda plan, _: str(plan.budget),
        "fewer": lambda plan, _: f"{schedule.grid.steps / len(plan.knots):.2f}×",
        "predicted": _predicted,
        "validated": _validated,
        "measured": _measured,
        "speed-up": _speedup,
        "intervals": lambda plan, _: _kinds(plan),
    }
    pairs = list(zip(schedule.plans, records, strict=True))
    cells = {name: [figure(*pair) for pair in pairs] for name, figure in columns.items()}
    shown = {name: column for name, column in cells.items() if any(column)}
    for name in shown:
        words = name == "intervals"
        table.add_column(name, justify="left" if words else "right", no_wrap=not words)
    for line in zip(*shown.values(), strict=True):
        table.add_row(*(cell or "–" for cell in line))
    return Group(Text(), table, Text(_legend(shown), style="dim"))


def _legend(columns: Collection[str]) -> str:
    """What the columns mean that stand in the table, and how to see more."""
    told = [text for name, text in QUALITIES.items() if name in columns]
    parts = [
        "fewer: steps divided by runs of the denoiser",
        *([f"mean latent PSNR {', '.join(told)}"] if told else []),
        *(["speed-up: of the whole call, in seconds"] if "speed-up" in columns else []),
    ]
    return f"{'; '.join(parts)}. --budget N shows when the denoiser runs, and what else was tried."


def _predicted(plan: PlanEntry, record: PlanRecord | None) -> str:
    known = None if record is None else record.predicted
    return "" if known is None else _decibels(known.psnr_latent)


def _validated(plan: PlanEntry, record: PlanRecord | None) -> str:
    known = None if record is None else record.validated
    return "" if known is None else _decibels(known.psnr_latent)


def _measured(plan: PlanEntry, record: PlanRecord | None) -> str:
    return "" if plan.measured is None else _decibels(plan.measured.psnr_latent)


def _speedup(plan: PlanEntry, record: PlanRecord | None) -> str:
    return "" if plan.measured is None else f"{plan.measured.speedup:.2f}×"


def _kinds(plan: PlanEntry) -> str:
    """How many intervals each predictor bridges."""
    kinds = Counter(interval.name for interval in plan.intervals)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def _decibels(value: float) -> str:
    return "same" if value >= CEILING else f"{value:.1f} dB"
