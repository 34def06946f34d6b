"""The settings of a calibration, which every profile carries."""

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from meancache_plan.artifact import Generation, ModelIdentity
from meancache_plan.deviation import EdgeIndex, windows
from meancache_plan.grid import check_sigmas

Count = Annotated[int, Field(ge=1)]


class ProfileSettings(BaseModel):
    """What a profile was measured on, and how. ``model`` None: a plain velocity function.

    ``call`` holds the pipeline call's other arguments. ``max_edge`` and ``max_window`` bound the
    (t, s, K) whose L1 deviations were measured. ``samples_total`` counts the samples of the whole
    calibration, prompts x seeds. ``sensitivity``: whether the propagation of errors was measured.
    ``transferred_from`` is the fingerprint of the profile that this one was carried over from to
    another grid, by :mod:`meancache_plan.transfer`; such a profile has no L1 deviations.
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
    latent_shape: Annotated[tuple[Count, ...], Field(min_length=1)]
    max_edge: Count
    max_window: Annotated[int, Field(ge=0)]
    prompts_sha256: str | None = None
    seeds_sha256: str | None = None
    samples_total: Count
    sensitivity: bool = False
    transferred_from: str | None = None
    versions: dict[str, str]

    @field_validator("sigmas")
    @classmethod
    def _check_sigmas(cls, sigmas: tuple[float, ...]) -> tuple[float, ...]:
        return check_sigmas(sigmas)

    @model_validator(mode="after")
    def _check_max_edge(self) -> Self:
        if self.max_edge > self.steps:
            raise ValueError(f"max_edge: {self.max_edge} exceeds the {self.steps} steps")
        return self

    @property
    def steps(self) -> int:
        """Number of sampler steps T."""
        return len(self.sigmas) - 1

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
        )

    @property
    def index(self) -> EdgeIndex:
        """The triples (t, s, K) whose L1 deviations are measured, if any are, in their order."""
        return windows(self.steps, self.max_edge, self.max_window)
