"""The figures of an evaluation as the page shows them, or else those noted in the schedule."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from meancache_plan.judge.result import CEILING, HIGHER_IS_BETTER, Evaluation, Row
from meancache_plan.schedule.artifact import Measured, PlanEntry, Schedule

METRICS = {
    "psnr": ("PSNR of pictures", "dB", 1),
    "psnr_latent": ("PSNR of latents", "dB", 1),
    "ssim": ("SSIM of pictures", "", 4),
    "flip": ("FLIP error", "", 4),
    "lpips": ("LPIPS", "", 4),
}
"""Each figure's name, unit and digits."""

MOST_DOTS = 100
"""Samples of one method and budget that the page draws as dots."""


def figure_data(schedule: Schedule, evaluation: Evaluation | None) -> dict[str, Any] | None:
    """Rows of figures, one per method and budget; None if nothing was measured."""
    if evaluation is None:
        return _noted(schedule.plans)
    full = next((row for row in evaluation.rows if row.method == "full"), None)
    rows = [_row(row) for row in evaluation.rows if row.method != "full"]
    return {
        "metrics": _metrics({name for row in rows for name in row["quality"]}),
        "rows": rows,
        "full": None if full is None else {"calls": full.calls, "seconds": full.seconds},
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
        "metrics": _metrics({"psnr", "psnr_latent", "ssim"}),
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
    names = [name for name in METRICS if getattr(row, name) is not None]
    return {
        "method": row.method,
        "budget": row.budget,
        "calls": row.calls,
        "seconds": row.seconds,
        "speedup": row.speedup,
        "samples": row.samples,
        "same": row.psnr_latent >= CEILING,
        "quality": {name: _quality(row, name) for name in names},
        "each": _thinned(row.per_sample.psnr),
    }


def _quality(row: Row, name: str) -> dict[str, float | None]:
    low, high = getattr(row, f"{name}_interval")
    return {
        "mean": getattr(row, name),
        "low": low,
        "high": high,
        "worst": getattr(row, f"{name}_worst"),
        "decile": worst_decile(getattr(row.per_sample, name) or (), HIGHER_IS_BETTER[name]),
    }


def _thinned(values: Sequence[float]) -> list[float]:
    """The samples' figures in ascending order; of very many, ``MOST_DOTS`` evenly spaced ranks."""
    ranks = np.linspace(0, len(values) - 1, min(len(values), MOST_DOTS)).round().astype(int)
    ordered = sorted(values)
    return [round(ordered[rank], 2) for rank in ranks]


def worst_decile(values: Sequence[float], higher_is_better: bool) -> float | None:
    """Mean of the worst tenth of the samples, of one at least; None without samples.

    Example:
        >>> worst_decile([30.0, 20.0, 40.0], higher_is_better=True)
        20.0
    """
    if not values:
        return None
    ordered = sorted(values, reverse=not higher_is_better)
    return float(np.mean(ordered[: math.ceil(len(ordered) / 10)]))


def _metrics(names: set[str]) -> list[dict[str, Any]]:
    return [
        {
            "key": key, "label": label, "unit": unit, "digits": digits,
            "higher": HIGHER_IS_BETTER[key],
        }
        for key, (label, unit, digits) in METRICS.items()
        if key in names
    ]  # fmt: skip
