"""What a comparison found: one row a method and setting, for tables, charts and machines."""

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from meancache_plan.errors import InputError
from meancache_plan.files.validation import first_reason
from meancache_plan.schedule.artifact import ModelIdentity

FULL, PLAN = "full", "plan"
"""The names of the full run's row and of the judged schedule's rows."""

QUALITIES = {
    "psnr_latent": True,
    "psnr_flow": True,
    "psnr": True,
    "ssim": True,
    "flip": False,
    "lpips": False,
}
"""Figures of quality, and whether more of them is better."""

COSTS = ("refreshes", "whole_refreshes", "relative_seconds", "seconds", "calls", "memory")
"""Figures of cost; less of each is better."""

Bounds = tuple[float, float]
Text = Annotated[str, Field(min_length=1, max_length=300)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spread(_Strict):
    """A figure over the samples.

    Attributes:
        mean: Its mean.
        interval: 95 % bootstrap interval of the mean; prompts are the independent units.
        worst: Of the worst sample.
    """

    mean: float
    interval: Bounds
    worst: float


class Figures(_Strict):
    """What a method in one setting achieves and costs, against the full run of each sample.

    Attributes:
        psnr_latent: PSNR of the final latents in dB; the range is ``Comparison.latent_range``.
        psnr_flow: The same against the flow itself, which a much finer run follows; the full run
            has its own error there, and nobody who copies it can do better. None if no finer run
            was possible.
        psnr: PSNR of the pictures in dB, range 1.
        ssim: Structural similarity of the pictures, 1 is identical.
        flip: Mean FLIP error of the pictures, 0 is identical.
        lpips: LPIPS of the pictures, if asked for.
        refreshes: Equivalent refreshes: T × FLOPs of the denoising / FLOPs of the full run's.
        whole_refreshes: The same, but calls that were not computed whole count as nothing.
        relative_seconds: Seconds of the denoising loop over those of the full run's.
        seconds: Seconds of the denoising loop.
        calls: Denoiser forward calls.
        memory: Bytes in use at most during the loop, beyond what was in use when it began: by
            CUDA's allocator (weights that offloading moves in count), elsewhere of tensors,
            counted in the run that counts FLOPs.
    """

    psnr_latent: Spread
    psnr_flow: Spread | None
    psnr: Spread
    ssim: Spread
    flip: Spread
    lpips: Spread | None
    refreshes: Spread
    whole_refreshes: Spread
    relative_seconds: Spread
    seconds: Spread
    calls: Spread
    memory: Spread | None


class PerSample(_Strict):
    """Some figures sample by sample: prompt by prompt, each with all seeds."""

    psnr_latent: tuple[float, ...]
    psnr_flow: tuple[float, ...] | None
    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    flip: tuple[float, ...]
    lpips: tuple[float, ...] | None
    relative_seconds: tuple[float, ...]


class Row(_Strict):
    """A method in one setting: its figures, or why it has none.

    Attributes:
        peer: The method; ``plan`` is the judged schedule, ``full`` the run of all steps.
        setting: Which of its settings.
        steps: Sampler steps.
        budget: A plan's budget.
        figures: What it achieves and costs.
        per_sample: Figures of each sample.
        failure: Why it could not run on this pipeline.
    """

    peer: Text
    setting: Text
    steps: int
    budget: int | None = None
    figures: Figures | None = None
    per_sample: PerSample | None = None
    failure: Text | None = None

    def cost(self, name: str) -> float:
        """What it costs: the mean; of relative seconds the median, which a busy machine spares.

        Raises:
            ValueError: The row says why it has no figures.
        """
        if self.figures is None or self.per_sample is None:
            raise ValueError(f"{self.peer}: {self.failure}")
        if name == "relative_seconds":
            return float(np.median(self.per_sample.relative_seconds))
        return getattr(self.figures, name).mean

    @model_validator(mode="after")
    def _either(self) -> Self:
        """Hold figures or a failure, not both."""
        found = [self.figures is not None, self.per_sample is not None]
        if any(found) == (self.failure is not None) or len(set(found)) > 1:
            raise ValueError("a row holds figures with their samples, or a failure")
        return self


class Comparison(_Strict):
    """Every row, and what they were measured on.

    ``schedule_sha256`` is the judged schedule file's, in canonical bytes; ``latent_range`` is
    four standard deviations of the full trajectories' final latents. FLOPs were counted on
    ``counted`` samples for methods whose compute depends on the sample, on one for the others.
    """

    format: Literal["meancache-comparison"] = "meancache-comparison"
    version: Literal[1] = 1
    model: ModelIdentity
    schedule_sha256: str
    steps: int
    calls_per_step: int
    prompts_sha256: str
    prompts: int
    seeds: tuple[int, ...]
    counted: int
    latent_range: float
    device: str
    versions: dict[str, str]
    rows: tuple[Row, ...]

    def measured(self) -> tuple[Row, ...]:
        """The rows that have figures, the full run's aside."""
        return tuple(row for row in self.rows if row.figures is not None and row.peer != FULL)

    def failures(self) -> tuple[Row, ...]:
        """The rows that say why they have none."""
        return tuple(row for row in self.rows if row.failure is not None)

    def memory(self) -> dict[str, tuple[float, float]]:
        """Peak memory over the full run's, by method: of its thriftiest setting and of its worst.

        Empty where none was measured.
        """
        taken: dict[str, list[float]] = {}
        for row in self.rows:
            if row.figures is not None and row.figures.memory is not None:
                taken.setdefault(row.peer, []).append(row.figures.memory.mean)
        full = taken.pop(FULL, [0.0])[0]
        return {peer: (min(some) / full, max(some) / full) for peer, some in taken.items() if full}

    def to_json(self) -> str:
        """The comparison for machines: one JSON object."""
        return self.model_dump_json(indent=1) + "\n"


def load_comparison(file: Path) -> Comparison:
    """Read what :meth:`Comparison.to_json` gave. Raises InputError with the place and reason."""
    try:
        return Comparison.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); "
            "make it with `meancache-plan compare --json FILE`"
        ) from error
    except ValidationError as error:
        raise InputError(f"{file}: {first_reason(error, 'comparison')}") from error
