"""A finished sample of a comparison, as its journal keeps it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(_Strict):
    """One peer's run of one sample: errors against the full run and the flow itself, and costs.

    ``flops`` and ``whole`` are shares of the full run's, where they were counted; ``memory`` is
    in bytes, and on a CPU of those samples alone.
    """

    kind: Literal["run"] = "run"
    calls: int
    seconds: float
    latent_error: float
    flow_error: float | None
    pictures: dict[str, float]
    memory: int | None
    flops: float | None = None
    whole: float | None = None


class Failed(_Strict):
    """Why a peer has no run of this sample."""

    kind: Literal["failed"] = "failed"
    reason: str


Outcome = Annotated[Run | Failed, Field(discriminator="kind")]


class Sample(_Strict):
    """All peers' runs of one sample by their keys; moments of the full run's final latents."""

    moments: tuple[float, float]
    outcomes: dict[str, Outcome]
