"""What a run did, and what of it the schedule's figures do not cover."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplayWarning:
    """What the schedule's measured quality does not cover in a run.

    ``kind`` is ``"adapters"`` (others than the schedule was compiled with) or ``"mid-grid"`` (a
    run that enters the schedule after its first step); ``message`` says more, with the fix.
    """

    kind: str
    message: str


@dataclass(slots=True)
class ReplayStats:
    """What the latest run did.

    ``refreshes`` counts steps at which the denoiser ran, ``cached_steps`` those at which it did
    not, ``denoiser_calls`` its forward calls (twice the refreshes with a two-call CFG).
    """

    refreshes: int = 0
    cached_steps: int = 0
    denoiser_calls: int = 0
    warnings: tuple[ReplayWarning, ...] = ()
