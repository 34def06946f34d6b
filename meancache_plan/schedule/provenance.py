"""The provenance in a schedule: where its plans come from, and what was known of them.

Readers that replay skip it; its records are for people, reports, and whoever solves again.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from meancache_plan.files.validation import Count, Real, Strict, Text
from meancache_runtime import schedule as runtime
from meancache_runtime import strict_json
from meancache_runtime.predictors import MAX_ORDER


class Quality(Strict):
    """A plan's mean latent PSNR in dB, with an interval that it should lie in."""

    psnr_latent: Real
    low: Real
    high: Real


class GainFit(Strict):
    """How a plan's gains were fitted, and what they leave.

    That is the weighted deviation (core/gains.py), or what compensated gains miss of the final
    sample (core/compensated_gains.py).
    """

    shrinkage: Annotated[float, Field(ge=0, le=1e9)]
    fitted: Annotated[float, Field(ge=0, le=runtime.MAX_COST)]
    cross_validated: Annotated[float, Field(ge=0, le=runtime.MAX_COST)]


class Score(Strict):
    """What a candidate scored when it was replayed on validation prompts.

    ``psnr_latent`` is the mean in dB, ``worst_decile`` the mean of the worst tenth; ``samples``
    how many it was replayed on before it won or was dropped.
    """

    name: Text
    samples: Count
    psnr_latent: Real
    worst_decile: Real


Share = Annotated[float, Field(ge=0, le=1e9)]
Shares = Annotated[tuple[Share, ...], Field(fail_fast=True, max_length=runtime.MAX_STEPS)]


class Innovation(Strict):
    """What the innovations of ``samples`` were, for each knot of a plan after the first.

    They are of full runs, or where a plan is refined of replays (``replayed``), with gains that
    were fitted on other prompts than the sample's.
    """

    samples: Count
    replayed: bool
    median: Shares
    high: Shares
    largest: Shares


class PlanRecord(Strict):
    """Where one plan comes from, and what was known of its quality when it was written.

    ``origin`` names the winning candidate, ``predicted`` was computed from the profile,
    ``validated`` measured by replay on validation prompts; ``stability`` gives, for each knot,
    how often resampled calibration prompts give a plan with a knot there. ``innovation`` has the
    median, the 99 % quantile and the maximum.
    """

    budget: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]
    origin: Text
    fit: GainFit | None = None
    innovation: Innovation | None = None
    predicted: Quality | None = None
    validated: Quality | None = None
    stability: (
        Annotated[
            tuple[Annotated[float, Field(ge=0, le=1)], ...],
            Field(fail_fast=True, max_length=runtime.MAX_STEPS),
        ]
        | None
    ) = None
    candidates: Annotated[tuple[Score, ...], Field(fail_fast=True, max_length=10_000)] = ()


class Pruned(Strict):
    """A budget that was solved and left out, because of the smaller budget ``by``."""

    budget: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]
    by: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]
    reason: Text


class Reliability(Strict):
    """How far the calibration prompts agree, and whether there are enough of them.

    ``rank_correlation`` is the mean Spearman correlation of edge costs between two prompts;
    ``regret`` maps a number of prompts to the mean relative excess cost of plans made from so
    few, on all prompts.
    """

    rank_correlation: Annotated[float, Field(ge=-1, le=1)] | None
    regret: Annotated[dict[Text, Annotated[float, Field(ge=0)]], Field(max_length=64)]


Name = Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*$", max_length=32)]


def _plain(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """The value; in place of a reason for each kind that it is not, what it may be."""
    try:
        return handler(value)
    except ValidationError as error:
        raise ValueError("must be true, false, a number within ±1e9, or a string") from error


Value = Annotated[
    bool | Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)] | Real | Text,
    WrapValidator(_plain),
]


class Command(Strict):
    """A command that led to the plans, and the arguments that it was given.

    ``arguments`` are its options by their names without dashes, those alone that decide what it
    makes: never the model, a device, or where a file lies. Of files they hold the names.
    """

    command: Literal["calibrate", "solve", "refine"]
    tool: Text
    arguments: Annotated[dict[Name, Value], Field(max_length=strict_json.MAX_ITEMS)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "output" in self.arguments:
            raise ValueError("arguments: output says where a file goes, not what is in it")
        return self

    def words(self) -> list[str]:
        """The command's name and its options, as they are typed."""
        words: list[str] = [self.command]
        for name, value in sorted(self.arguments.items()):
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            else:
                words += [f"--{name}", str(value)]
        return words


class Effort(Strict):
    """What making the plans took: denoiser refreshes of calibration, and of all refinement.

    Seconds are not noted: they differ from run to run, and a schedule made again is the same.
    """

    calibration: Count
    refinement: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0

    @property
    def refreshes(self) -> int:
        """All of them."""
        return self.calibration + self.refinement


class Provenance(Strict):
    """Where plans come from that were made from a profile: enough to make them again from it.

    ``profile`` is the fingerprint of what was solved; ``transferred_from`` that of the profile
    that calibration measured, where it was carried over to another grid, else None. ``commands``
    are those that made the plans from the model, in order; empty if they are not known, or if
    other than commands had a part in it. ``effort`` is None where it is not known, as on another
    grid than was calibrated.
    """

    tool: Text
    profile: Text
    transferred_from: Text | None
    samples: Count
    planner: Text
    predictors: Annotated[tuple[Text, ...], Field(fail_fast=True, max_length=strict_json.MAX_ITEMS)]
    metric: Text
    weighting: Text
    statistic: Text
    gamma: Annotated[float, Field(ge=0, le=1e6)]
    order: Annotated[int, Field(ge=1, le=MAX_ORDER)]
    max_edge: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]
    plans: Annotated[tuple[PlanRecord, ...], Field(max_length=runtime.MAX_PLANS)] = ()
    pruned: Annotated[tuple[Pruned, ...], Field(max_length=runtime.MAX_PLANS)] = ()
    reliability: Reliability | None = None
    commands: Annotated[tuple[Command, ...], Field(fail_fast=True, max_length=64)] = ()
    effort: Effort | None = None

    @model_validator(mode="after")
    def _check_commands(self) -> Self:
        names = [command.command for command in self.commands]
        if names and names != ["calibrate", "solve", *["refine"] * (len(names) - 2)]:
            raise ValueError("commands: must be calibrate, solve, and then refine or nothing")
        return self

    def record(self, budget: int) -> PlanRecord | None:
        """The record of the plan for this budget, if there is one."""
        return next((entry for entry in self.plans if entry.budget == budget), None)


class StartRule(Strict):
    """The rule of starting plans, which were not calibrated.

    ``source`` says in words whose published plans they are like; ``published`` is the SHA-256 of
    these schedules, which have so many ``plans``. Knots lie more densely where steps are wide in
    σ on a grid of this ``shift``, by the power ``width``, and where published plans have more of
    them, by the power ``tilt``.
    """

    source: Text
    published: Text
    plans: Count
    shift: Annotated[float, Field(gt=0, le=1e6)]
    width: Annotated[float, Field(ge=0, le=1e6)]
    tilt: Annotated[float, Field(ge=0, le=1e6)]


class StartProvenance(Strict):
    """Where starting plans come from, for whose model no profile was measured."""

    tool: Text
    start: StartRule


def _kind(value: Any) -> str:
    """Of a provenance: which of the two it is."""
    starts = isinstance(value, StartProvenance) or (isinstance(value, Mapping) and "start" in value)
    return "starting" if starts else "calibrated"


EitherProvenance = Annotated[
    Annotated[Provenance, Tag("calibrated")] | Annotated[StartProvenance, Tag("starting")],
    Discriminator(_kind),
]
