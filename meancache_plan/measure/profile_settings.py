"""The settings of a calibration, which every profile carries."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from meancache_plan.core.columns import displacement_columns
from meancache_plan.core.deviation import EdgeIndex, windows
from meancache_plan.core.grid import check_sigmas
from meancache_plan.errors import check_whole
from meancache_plan.schedule.artifact import Generation, ModelIdentity
from meancache_plan.schedule.provenance import Command
from meancache_plan.source.any_device import on_any_device
from meancache_runtime.schedule import MAX_STEPS

Count = Annotated[int, Field(ge=1)]

MAX_WINDOW = 6
"""Largest K of the paper's predictor that a profile holds."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """How a calibration measures its samples.

    Attributes:
        batch: Samples a pipeline call: more use more memory, and may be faster. Each begins with
            the noise that it has alone; the rest is the same but for rounding.
        max_edge: Longest edge measured, in steps; all T by default.
        propagation: Measure how errors propagate to the sample, with at most a quarter more
            denoiser refreshes, on a few samples spread over the prompts.
        finer_steps: Make plans reproduce a run of so many steps, at least those of the
            recipe, on whose grid they are replayed; by default the recipe's own run.

    Raises:
        InputError: A number is out of range.
    """

    batch: int = 1
    max_edge: int | None = None
    propagation: bool = True
    finer_steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that are out of range whatever the recipe."""
        check_whole("batch", self.batch, 1)
        if self.max_edge is not None:
            check_whole("max_edge", self.max_edge, 1)


MEASURING = Measuring()
"""How a calibration measures if nothing is said."""


_NOT_OF_A_RUN = (
    *("max_edge", "max_window", "propagation", "batch"),
    *("prompts_sha256", "seeds_sha256", "samples_total", "calls", "versions", "command"),
    "num_inference_steps",
)
"""Settings that decide no full run, but for its last digits, or are those of one sample alone."""


class ProfileSettings(BaseModel):
    """What a profile was measured on, and how. ``model`` None: a plain velocity function.

    ``call`` holds the pipeline call's other arguments, ``settings`` what of it steers samples,
    and how guiders were set; None: not known. ``max_edge`` and ``max_window`` bound
    the (t, s, K) whose L1 deviations were measured. ``num_inference_steps`` were asked for, which
    need not be as many as the grid has; None: not known. ``samples_total`` counts the samples of
    the whole calibration, prompts x seeds, and ``batch`` those that were made at a time.
    ``propagation``: whether the propagation of errors was measured. ``displaced``: the steps
    were not Euler's, and their displacements were measured beside the velocities: those of the
    sampler that plans ``replaces``, or of a finer run of ``finer_steps``, more than the grid
    has. ``switches``: steps at which another denoiser takes over. ``calls``: how often a sample
    goes through them in each step, as the first one told; None: not known. ``still_steps`` of no
    length end each run; they move nothing, are in ``calls`` and nowhere else.
    ``transferred_from`` is the fingerprint of the profile that this one was carried over from
    to another grid, by :mod:`meancache_plan.measure.transfer`; such a profile has no L1
    deviations. ``command`` made the whole profile, or all of its shards, if a command did.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    model: ModelIdentity | None = None
    scheduler_config: dict[str, JsonValue] | None = None
    sigmas: tuple[float, ...]
    guidance: dict[str, float] = {}
    call: dict[str, JsonValue] = {}
    height: Count | None = None
    width: Count | None = None
    frames: Count | None = None
    dtype: str
    negative_prompt: bool | None = None
    attention: str | None = None
    quantisation: str | None = None
    settings: dict[str, bool | float | str] | None = None
    latent_shape: Annotated[tuple[Count, ...], Field(min_length=1)]
    max_edge: Count
    max_window: Annotated[int, Field(ge=0)]
    prompts_sha256: str | None = None
    seeds_sha256: str | None = None
    samples_total: Count
    batch: Count = 1
    propagation: bool = False
    displaced: bool = False
    replaces: str | None = None
    finer_steps: Annotated[int, Field(ge=2, le=MAX_STEPS)] | None = None
    switches: tuple[Count, ...] = ()
    calls: tuple[Count, ...] | None = None
    still_steps: Annotated[int, Field(ge=0, lt=MAX_STEPS)] = 0
    num_inference_steps: Count | None = None
    transferred_from: str | None = None
    versions: dict[str, str]
    command: Command | None = None

    @property
    def full_run(self) -> dict[str, Any]:
        """What decides a full run, but for prompt and seed, as JSON values."""
        return self.model_dump(mode="json", exclude={*_NOT_OF_A_RUN})

    @field_validator("sigmas")
    @classmethod
    def _check_sigmas(cls, sigmas: tuple[float, ...]) -> tuple[float, ...]:
        return check_sigmas(sigmas)

    @model_validator(mode="after")
    def _check_max_edge(self) -> Self:
        if self.max_edge > self.steps:
            raise ValueError(f"max_edge: {self.max_edge} exceeds the {self.steps} steps")
        if self.run_steps > MAX_STEPS:
            raise ValueError(f"still_steps: a run has {MAX_STEPS} steps at most")
        return self

    @model_validator(mode="after")
    def _check_finer(self) -> Self:
        for name in ("replaces", "finer_steps"):
            if getattr(self, name) is not None and not self.displaced:
                raise ValueError(f"{name}: displacements were not measured (displaced is false)")
        if self.displaced and self.replaces is None and self.finer_steps is None:
            raise ValueError("displaced: neither replaces nor finer_steps says by what")
        if self.finer_steps is not None and self.finer_steps <= self.run_steps:
            raise ValueError(f"finer_steps: {self.finer_steps} are no more than the steps")
        return self

    @model_validator(mode="after")
    def _check_switches(self) -> Self:
        if any(a >= b for a, b in pairwise((*self.switches, self.steps))):
            raise ValueError(
                f"switches: must be strictly ascending, between 1 and {self.steps - 1}"
            )
        return self

    def compared(self) -> dict[str, Any]:
        """What all samples of one calibration have in common, as JSON values."""
        return self.model_dump(mode="json", exclude={"command", "calls"})

    def anywhere(self) -> Self:
        """The same, as if measured on any device."""
        return self.model_copy(update={"versions": on_any_device(self.versions)})

    @property
    def steps(self) -> int:
        """Number of sampler steps T that move the sample."""
        return len(self.sigmas) - 1

    @property
    def run_steps(self) -> int:
        """Number of all steps of a run."""
        return self.steps + self.still_steps

    @property
    def run_sigmas(self) -> tuple[float, ...]:
        """Noise levels of all steps of a run: the last of ``sigmas`` is repeated."""
        return self.sigmas + self.sigmas[-1:] * self.still_steps

    @property
    def columns(self) -> int:
        """How many vectors of a trajectory the Gram matrices are of."""
        return 2 * self.steps if self.displaced else self.steps

    @property
    def displacements(self) -> range:
        """Which of these columns are what the steps moved with."""
        return displacement_columns(self.steps, self.columns)

    @property
    def numel(self) -> int:
        """Elements N of one sample's latents."""
        return math.prod(self.latent_shape)

    @property
    def generation(self) -> Generation:
        """How the samples were made, as the artifact says it."""
        return Generation(
            height=self.height,
            width=self.width,
            frames=self.frames,
            guidance=self.guidance,
            dtype=self.dtype,
            negative_prompt=self.negative_prompt,
            attention=self.attention,
            quantisation=self.quantisation,
            elements=self.numel,
            calls=self.calls,
            settings=self.settings,
        )

    @property
    def index(self) -> EdgeIndex:
        """The triples (t, s, K) whose L1 deviations are measured, if any are, in their order."""
        return windows(self.steps, self.max_edge, self.max_window)
