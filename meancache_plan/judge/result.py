"""What an evaluation found: one row a method and budget, for tables, pictures and machines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from meancache_plan.core.psnr import CEILING as CEILING
from meancache_plan.errors import InputError
from meancache_plan.files.validation import first_reason
from meancache_plan.schedule.artifact import ModelIdentity

METHODS = ("full", "plan", "uniform-hold", "uniform-adams", "fewer-steps")
"""What every evaluation compares; rival schedules come under names of their own."""

Method = Annotated[str, Field(min_length=1, max_length=40)]
Bounds = tuple[float, float]

HIGHER_IS_BETTER = {"psnr_latent": True, "psnr": True, "ssim": True, "flip": False, "lpips": False}
"""The quality figures of a row, and which end of them is good."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One sample's pictures [F, height, width, 3], 0 … 1, kept to be looked at.

    F is 0 where an earlier sample is only called to mind.
    """

    prompt: str
    seed: int
    method: Method
    budget: int
    calls: int
    psnr: float
    frames: npt.NDArray[np.float32]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PerSample(_Strict):
    """A row's figures sample by sample: prompt by prompt, each with all seeds."""

    psnr_latent: tuple[float, ...]
    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    flip: tuple[float, ...]
    lpips: tuple[float, ...] | None
    seconds: tuple[float, ...]


class Row(_Strict):
    """One method at one budget, against the full trajectory of the same prompt and seed.

    Attributes:
        method: ``plan``, a baseline, or ``full`` itself.
        budget: The plan's budget; T for ``full``.
        calls: Denoiser forward calls a sample, counted (the most, should samples differ).
        psnr_latent: PSNR of the final latents in dB, mean over the samples; the range is
            ``Evaluation.latent_range``; identical samples count as 120 dB.
        psnr: PSNR of the pictures in dB, range 1.
        ssim: Structural similarity of the pictures, 1 is identical.
        flip: Mean FLIP error of the pictures, 0 is identical.
        lpips: LPIPS of the pictures, if asked for.
        seconds: Wall time of the pipeline's whole call, mean.
        speedup: The full row's seconds over this row's.
        samples: Number of samples.

    ``…_interval`` is the 95 % bootstrap interval of the mean, with prompts as the independent
    units; ``…_worst`` the worst sample.
    """

    method: Method
    budget: int
    calls: int
    psnr_latent: float
    psnr_latent_interval: Bounds
    psnr_latent_worst: float
    psnr: float
    psnr_interval: Bounds
    psnr_worst: float
    ssim: float
    ssim_interval: Bounds
    ssim_worst: float
    flip: float
    flip_interval: Bounds
    flip_worst: float
    lpips: float | None = None
    lpips_interval: Bounds | None = None
    lpips_worst: float | None = None
    seconds: float
    speedup: float
    samples: int
    per_sample: PerSample


class Evaluation(_Strict):
    """Every row, and what they were measured on.

    ``schedule_sha256`` is the evaluated schedule file's, in canonical bytes; ``steps`` are the
    schedule's; ``finer_steps`` those of the full run, where plans aim at a finer one: its
    seconds, and thus all speed-ups, are of so many steps. ``latent_range`` is
    four standard deviations of the full trajectories' final latents, pooled over the samples.
    ``shots`` are pictures of the first prompts, F = 1; they stay out of the JSON.
    """

    format: Literal["meancache-evaluation"] = "meancache-evaluation"
    version: Literal[1] = 1
    model: ModelIdentity
    schedule_sha256: str
    steps: int
    finer_steps: int | None = None
    prompts_sha256: str
    prompts: int
    seeds: tuple[int, ...]
    latent_range: float
    device: str
    versions: dict[str, str]
    rows: tuple[Row, ...]
    shots: Annotated[tuple[InstanceOf[Shot], ...], Field(exclude=True, repr=False)] = ()

    def row(self, method: Method, budget: int) -> Row:
        """The row of this method at this budget. Raises KeyError if there is none."""
        for row in self.rows:
            if (row.method, row.budget) == (method, budget):
                return row
        raise KeyError((method, budget))

    def to_json(self) -> str:
        """The evaluation for machines: one JSON object, its ``rows`` a list of flat records."""
        return self.model_dump_json(indent=2) + "\n"


def load_evaluation(file: Path) -> Evaluation:
    """Read what :meth:`Evaluation.to_json` gave. Raises InputError with the place and reason."""
    try:
        return Evaluation.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); "
            "make it with `meancache-plan evaluate --json FILE`"
        ) from error
    except ValidationError as error:
        raise InputError(f"{file}: {first_reason(error, 'evaluation')}") from error
