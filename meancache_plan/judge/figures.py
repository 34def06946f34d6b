"""What one contender's samples measure, and the row that sums them up."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.core.psnr import psnr
from meancache_plan.judge.contenders import Contender
from meancache_plan.judge.result import HIGHER_IS_BETTER, PerSample, Row


class Figures(BaseModel):
    """What one sample of one contender measures; the PSNR of latents waits for their range.

    Attributes:
        calls: Denoiser forward calls.
        seconds: Wall time of the pipeline's whole call.
        latent_error: Mean squared error of the final latents.
        pictures: Figures of the pictures, by name.
        moments: Mean and mean square of a full run's final latents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: int
    seconds: float
    latent_error: float
    pictures: dict[str, float]
    moments: tuple[float, float] | None = None


def summed_up(
    contender: Contender,
    figures: Sequence[Figures],
    value_range: float,
    prompts: int,
    full_seconds: float,
) -> Row:
    """One row of an evaluation.

    Args:
        contender: Whose row.
        figures: Prompt by prompt, each with all seeds.
        value_range: Range of the latents, for their PSNR.
        prompts: How many prompts there are.
        full_seconds: Mean seconds of a full run.
    """
    values = {"psnr_latent": [psnr(f.latent_error, value_range) for f in figures]}
    values |= {name: [f.pictures[name] for f in figures] for name in figures[0].pictures}
    quality: dict[str, Any] = {}
    for name, data in values.items():
        quality[name] = float(np.mean(data))
        quality[f"{name}_interval"] = _interval(data, prompts)
        quality[f"{name}_worst"] = min(data) if HIGHER_IS_BETTER[name] else max(data)
    times = [f.seconds for f in figures]
    seconds = float(np.mean(times))
    return Row(
        method=contender.method,
        budget=contender.budget,
        calls=max(f.calls for f in figures),
        **quality,
        seconds=seconds,
        speedup=full_seconds / seconds,
        samples=len(figures),
        per_sample=PerSample.model_validate({"lpips": None, **values, "seconds": times}),
    )


def _interval(values: list[float], prompts: int) -> tuple[float, float]:
    """Interval of the mean: seeds of one prompt are alike, so prompts are what is resampled."""
    by_prompt = np.reshape(values, (prompts, -1))
    return bootstrap_interval(by_prompt.mean(axis=1) if prompts > 1 else values)
