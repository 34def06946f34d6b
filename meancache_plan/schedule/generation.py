"""What a schedule says of requests: how calibration samples were made, what else was measured."""

from typing import Annotated

from pydantic import Field

from meancache_plan.files.validation import Count, Pixels, Real, Strict, Text
from meancache_runtime import schedule as runtime
from meancache_runtime import strict_json

Calls = Annotated[
    tuple[Annotated[int, Field(ge=1, le=runtime.MAX_CALLS)], ...],
    Field(fail_fast=True, max_length=runtime.MAX_STEPS),
]
Elements = Annotated[int, Field(ge=1, le=runtime.MAX_ELEMENTS)]


Settings = Annotated[dict[Text, bool | Real | Text], Field(max_length=strict_json.MAX_ITEMS)]


class Generation(Strict):
    """How the calibration samples were made; see :class:`meancache_runtime.schedule.Generation`."""

    height: Pixels | None
    width: Pixels | None
    frames: Pixels | None
    guidance: Annotated[dict[Text, Real], Field(max_length=strict_json.MAX_ITEMS)]
    dtype: Text
    negative_prompt: bool | None = None
    attention: Text | None = None
    quantisation: Text | None = None
    elements: Elements | None = None
    calls: Calls | None = None
    settings: Settings | None = None

    @property
    def asked(self) -> dict[str, bool | float | str]:
        """Guidance and other settings, by names; what is not known is not there."""
        return {**self.guidance, **(self.settings or {})}

    def replayable(self) -> runtime.Generation:
        """The same as the runtime reads it."""
        return runtime.Generation(**dict(self))


class Measured(Strict):
    """Quality measured by replaying the plan on held-out prompts."""

    psnr_latent: Real
    psnr: Real
    ssim: Real
    speedup: Real
    samples: Count
    prompts: Text


class Also(Strict):
    """Quality that was measured at another request, which ``request`` tells by what is other."""

    request: Annotated[
        dict[Text, bool | Real | Text], Field(min_length=1, max_length=strict_json.MAX_ITEMS)
    ]
    elements: Elements | None
    calls: Calls | None
    measured: Measured

    def replayable(self) -> runtime.Also:
        """The same as the runtime reads it."""
        return runtime.Also(self.request, self.elements, self.calls, self.measured.model_dump())


def check_calls(calls: tuple[int, ...] | None, where: str, steps: int) -> None:
    """Refuse calls of another number of steps. Raises ValueError."""
    if calls is not None and len(calls) != steps:
        raise ValueError(f"{where}.calls: {len(calls)} values for {steps} steps")
