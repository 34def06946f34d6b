"""What a run did, and what of it the schedule's figures do not cover."""

from dataclasses import dataclass, field

from .requests import Grade


@dataclass(frozen=True, slots=True)
class ReplayWarning:
    """What the schedule's measured quality does not cover in a run.

    ``kind`` is ``"adapters"`` (others than the schedule was compiled with), ``"mid-grid"`` (a run
    that enters the schedule after its first step), ``"request"`` (another than was calibrated, or
    none was, as :mod:`meancache_runtime.requests` grades it) or ``"unstable"`` (a sample that moves
    otherwise than the calibration samples did); ``message`` says more, with the fix.
    """

    kind: str
    message: str


@dataclass(slots=True)
class ReplayStats:
    """What the latest run did.

    ``refreshes`` counts steps at which the denoiser ran, ``cached_steps`` those at which it did
    not, ``denoiser_calls`` its forward calls (twice the refreshes with a two-call CFG).
    ``request`` is how what was asked for is graded, see :mod:`meancache_runtime.requests`: None
    where the schedule does not say what was calibrated, and nothing else is known to be other.
    ``innovation`` is the largest innovation of a sample at a knot, as a share of the schedule's
    bound, and ``innovation_knot`` the step where it was: 1 or less in a run that is like those of
    calibration, None where the schedule has no bounds or nobody looked. ``innovations`` has the
    largest of each knot with a bound, by its step.
    """

    refreshes: int = 0
    cached_steps: int = 0
    denoiser_calls: int = 0
    request: Grade | None = None
    innovation: float | None = None
    innovation_knot: int | None = None
    innovations: dict[int, float] = field(default_factory=dict[int, float])
    warnings: tuple[ReplayWarning, ...] = ()
