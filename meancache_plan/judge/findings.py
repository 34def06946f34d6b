"""What a judge found: one row a method and setting, for tables, charts and machines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, InstanceOf, ValidationError, model_validator

from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.errors import InputError
from meancache_plan.files.validation import Checked, first_reason
from meancache_plan.judge.frechet.frechet_distances import Distances
from meancache_plan.schedule.artifact import Measured, ModelIdentity

FULL, PLAN = "full", "plan"
"""The names of the full run's row and of the judged schedule's rows."""

ALWAYS = ("psnr_latent", "psnr", "ssim", "flip", "calls", "seconds")
"""Figures that every row of a file has, but for those that say why they have none."""

Text = Annotated[str, Field(min_length=1, max_length=300)]


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One sample's pictures [F, height, width, 3], 0 … 1, kept to be looked at.

    F is 0 where an earlier sample is only called to mind.
    """

    prompt: str
    seed: int
    method: str
    budget: int
    calls: int
    psnr: float
    frames: npt.NDArray[np.float32]


class Spread(Checked):
    """A figure over the samples.

    Attributes:
        mean: Its mean.
        interval: 95 % bootstrap interval of the mean; prompts are the independent units.
        worst: Of the worst sample.
        samples: Of each sample that it was measured on: prompt by prompt, each with all seeds.
    """

    mean: float
    interval: tuple[float, float]
    worst: float
    samples: tuple[float, ...]

    @classmethod
    def of(
        cls, values: Sequence[float], *, higher: bool, groups: Sequence[int] | None = None
    ) -> Self:
        """Sum values up.

        Args:
            values: One a sample, at least one.
            higher: Whether more is better.
            groups: The prompt of each, by number; see :func:`bootstrap_interval`.
        """
        return cls(
            mean=float(np.mean(values)),
            interval=bootstrap_interval(values, groups),
            worst=min(values) if higher else max(values),
            samples=tuple(values),
        )

    @property
    def worst_tenth(self) -> float:
        """Mean of the worst tenth of the samples, of one at least."""
        ordered = sorted(self.samples, key=lambda value: abs(value - self.worst))
        return float(np.mean(ordered[: math.ceil(len(ordered) / 10)]))


class AtKnot(Checked):
    """How far the samples of a plan strayed at a knot, as shares of its bound: 1 is the bound.

    Attributes:
        knot: Its step.
        median, high, largest: Of the samples; ``high`` is the 99 % quantile.
        beyond: The share of the samples that left the bound there.
    """

    knot: int
    median: float
    high: float
    largest: float
    beyond: float


class Row(Checked):
    """One method in one setting, against the full run of each sample; or why it has no figures.

    Attributes:
        method: ``plan`` is the judged schedule, ``full`` the run of all steps.
        setting: Which of the method's settings.
        steps: Sampler steps.
        budget: That of the plan that it is, or that it stands beside; T of the full run.
        figures: What it achieves and costs, by the names of
            :data:`meancache_plan.judge.figures.FIGURES`; only what was measured.
        innovations: How far samples strayed, at each knot of a plan that has a bound.
        speedup: The full run's mean seconds over this row's.
        failure: Why it could not run on this pipeline.
    """

    method: Text
    setting: Text
    steps: int
    budget: int | None = None
    figures: dict[str, Spread] = Field(default_factory=dict)
    innovations: tuple[AtKnot, ...] = ()
    speedup: float | None = None
    failure: Text | None = None

    def figure(self, name: str) -> Spread:
        """A figure. Raises InputError if it was not measured."""
        found = self.figures.get(name)
        if found is None:
            raise InputError(f"{name} was not measured: choose another figure")
        return found

    def mean(self, name: str) -> float:
        """The mean of a figure. Raises InputError if it was not measured."""
        return self.figure(name).mean

    @property
    def samples(self) -> int:
        """Number of samples."""
        return max((len(spread.samples) for spread in self.figures.values()), default=0)

    @model_validator(mode="after")
    def _either(self) -> Self:
        """Hold figures or a failure, not both."""
        if bool(self.figures) == (self.failure is not None):
            raise ValueError("a row holds figures, or a failure")
        return self


class Findings(Checked):
    """Every row, the full run's first, and what they were measured on.

    ``schedule_sha256`` is the judged schedule file's, in canonical bytes; ``latent_range`` is
    four standard deviations of the full runs' final latents, pooled over the samples.
    """

    format: str
    version: Literal[1] = 1
    model: ModelIdentity
    schedule_sha256: str
    steps: int
    prompts_sha256: str
    prompts: int
    seeds: tuple[int, ...]
    latent_range: float
    device: str
    versions: dict[str, str]
    rows: tuple[Row, ...]

    def row(self, method: str, budget: int) -> Row:
        """The row of this method at this budget. Raises KeyError if there is none."""
        for row in self.rows:
            if (row.method, row.budget) == (method, budget):
                return row
        raise KeyError((method, budget))

    def measured(self) -> tuple[Row, ...]:
        """The rows that have figures, the full run's aside."""
        return tuple(row for row in self.rows if row.figures and row.method != FULL)

    def failures(self) -> tuple[Row, ...]:
        """The rows that say why they have none."""
        return tuple(row for row in self.rows if row.failure is not None)

    def to_json(self) -> str:
        """The findings for machines: one JSON object."""
        return self.model_dump_json(indent=1) + "\n"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Hold the figures that every reader counts on."""
        for row in self.rows:
            missing = [name for name in ALWAYS if name not in row.figures]
            missing += ["speedup"] if row.speedup is None else []
            if missing and row.failure is None:
                raise ValueError(f"{row.method}, {row.setting}: figures lack {', '.join(missing)}")
        return self


class Evaluation(Findings):
    """What ``evaluate`` finds.

    ``steps`` are the schedule's; ``finer_steps`` those of the full run, where plans aim at a finer
    one: its seconds, and thus all speed-ups, are of so many steps. ``frechet`` holds distances of
    samples of their own, if they were asked for. ``request`` is in what samples were made otherwise
    than those of calibration; of such ones ``elements`` and ``calls`` are as in the schedule's
    ``generation``, if they are known. ``shots`` are pictures of the first prompts,
    F = 1; they stay out of the JSON.
    """

    format: Literal["meancache-evaluation"] = "meancache-evaluation"  # pyright: ignore[reportIncompatibleVariableOverride]
    finer_steps: int | None = None
    request: dict[str, bool | float | str] = Field(default_factory=dict)
    elements: int | None = None
    calls: tuple[int, ...] | None = None
    frechet: Distances | None = None
    shots: Annotated[tuple[InstanceOf[Shot], ...], Field(exclude=True, repr=False)] = ()

    def plans(self) -> dict[int, Measured]:
        """What is noted in each plan that was evaluated, by budget."""
        return {
            row.budget: Measured(
                psnr_latent=row.mean("psnr_latent"),
                psnr=row.mean("psnr"),
                ssim=row.mean("ssim"),
                speedup=row.speedup or 1.0,
                samples=row.samples,
                prompts=self.prompts_sha256,
            )
            for row in self.measured()
            if row.method == PLAN and row.budget is not None
        }


class Comparison(Findings):
    """What ``compare`` finds.

    FLOPs were counted on ``counted`` samples for methods whose compute depends on the sample, on
    one for the others; a step of the full run makes ``calls_per_step`` denoiser calls.
    """

    format: Literal["meancache-comparison"] = "meancache-comparison"  # pyright: ignore[reportIncompatibleVariableOverride]
    calls_per_step: int
    counted: int

    def memory(self) -> dict[str, tuple[float, float]]:
        """Peak memory over the full run's, by method: of its thriftiest setting and of its worst.

        Empty where none was measured.
        """
        taken: dict[str, list[float]] = {}
        for row in self.rows:
            if "memory" in row.figures:
                taken.setdefault(row.method, []).append(row.mean("memory"))
        full = taken.pop(FULL, [0.0])[0]
        return {name: (min(some) / full, max(some) / full) for name, some in taken.items() if full}


def load_evaluation(file: Path) -> Evaluation:
    """Read what ``evaluate --json`` wrote. Raises InputError with the place and reason."""
    try:
        return Evaluation.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); "
            "make it with `meancache-plan evaluate --json FILE`"
        ) from error
    except ValidationError as error:
        raise InputError(f"{file}: {first_reason(error, 'evaluation')}") from error
