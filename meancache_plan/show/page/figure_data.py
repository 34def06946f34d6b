"""The figures of an evaluation as the page shows them, or else those noted in the schedule."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meancache_plan.core.psnr import CEILING
from meancache_plan.judge.figures import qualities
from meancache_plan.judge.findings import FULL, Evaluation, Row, Spread
from meancache_plan.schedule.artifact import Measured, PlanEntry, Schedule

MOST_DOTS = 100
"""Samples of one method and budget that the page draws as dots."""


def figure_data(schedule: Schedule, evaluation: Evaluation | None) -> dict[str, Any] | None:
    """Rows of figures, one per method and budget; None if nothing was measured."""
    if evaluation is None:
        return _noted(schedule.plans)
    full = next((row for row in evaluation.rows if row.method == FULL), None)
    rows = [_row(row) for row in evaluation.measured()]
    return {
        "kinds": _kinds({name for row in rows for name in row["quality"]}),
        "rows": rows,
        "full": None if full is None else {"calls": _calls(full), "seconds": full.mean("seconds")},
        "prompts": evaluation.prompts,
        "seeds": len(evaluation.seeds),
        "device": evaluation.device,
        "cost": "denoiser calls per sample",
    }


def _noted(plans: Sequence[PlanEntry]) -> dict[str, Any] | None:
    """What ``evaluate --record`` noted in the plans."""
    rows = [_noted_row(plan, plan.measured) for plan in plans if plan.measured is not None]
    if not rows:
        return None
    return {
        "kinds": _kinds({"psnr", "psnr_latent", "ssim"}),
        "rows": rows,
        "full": None,
        "cost": "denoiser refreshes per sample",
    }


def _noted_row(plan: PlanEntry, measured: Measured) -> dict[str, Any]:
    quality = {name: getattr(measured, name) for name in ("psnr", "psnr_latent", "ssim")}
    return {
        "method": "plan",
        "budget": plan.budget,
        "calls": len(plan.knots),
        "seconds": None,
        "speedup": measured.speedup,
        "samples": measured.samples,
        "same": measured.psnr_latent >= CEILING,
        "quality": {name: {"mean": value} for name, value in quality.items()},
    }


def _row(row: Row) -> dict[str, Any]:
    kinds = qualities(set(row.figures))
    return {
        "method": row.method,
        "budget": row.budget,
        "calls": _calls(row),
        "seconds": row.mean("seconds"),
        "speedup": row.speedup,
        "samples": row.samples,
        "same": row.mean("psnr_latent") >= CEILING,
        "quality": {figure.name: _quality(row.figure(figure.name)) for figure in kinds},
        "each": _thinned(row.figure("psnr").samples),
    }


def _calls(row: Row) -> int:
    """Of a sample: the most, should samples differ."""
    return int(max(row.figure("calls").samples))


def _quality(spread: Spread) -> dict[str, float]:
    low, high = spread.interval
    return {
        "mean": spread.mean,
        "low": low,
        "high": high,
        "worst": spread.worst,
        "decile": spread.worst_tenth,
    }


def _thinned(values: Sequence[float]) -> list[float]:
    """The samples' figures in ascending order; of very many, ``MOST_DOTS`` evenly spaced ranks."""
    ranks = np.linspace(0, len(values) - 1, min(len(values), MOST_DOTS)).round().astype(int)
    ordered = sorted(values)
    return [round(ordered[rank], 2) for rank in ranks]


def _kinds(names: set[str]) -> list[dict[str, Any]]:
    """What the page says of each figure, that of pictures first: people look at them."""
    return [
        {
            "key": figure.name, "label": figure.label, "unit": figure.unit,
            "digits": figure.digits, "higher": figure.higher,
        }
        for figure in sorted(qualities(names), key=lambda figure: figure.name != "psnr")
    ]  # fmt: skip
