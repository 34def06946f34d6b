"""What an interval costs: its deviation, weighted, summed up over the samples, raised to γ.

The four choices are independent of each other, of the predictors and of the planner.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.deviation import EdgeIndex
from meancache_plan.errors import InputError, check_kind

LIGHTEST, HEAVIEST = 1e-300, 1e290
"""Range of an interval's weight: a path's sum stays a normal float, and within what plans may
cost."""

MAX_GAMMA = 1e6
"""The largest γ that the artifact can name."""


class Measurements(Protocol):
    """What planning needs of a profile: see :class:`meancache_plan.measure.profile.Profile`."""

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The grid, T + 1 noise levels."""
        ...

    @property
    def numel(self) -> int:
        """Elements N of a latent."""
        ...

    @property
    def index(self) -> EdgeIndex:
        """The triples (t, s, K) of the columns of ``l1``."""
        ...

    @property
    def prompt_index(self) -> NDArray[np.int64]:
        """Which prompt each sample is of, int64 [S]."""
        ...

    @property
    def grams(self) -> NDArray[np.float64]:
        """Gram matrices of the trajectories' columns, float64 [S, n, n]."""
        ...

    @property
    def displacements(self) -> range:
        """The columns of ``grams`` that are what each step moved with, T of them.

        The velocities' own, ``range(T)``, where steps are Euler's: then one step is exact.
        """
        ...

    @property
    def switches(self) -> tuple[int, ...]:
        """Steps at which another denoiser takes over, ascending: every plan has a knot there."""
        ...

    @property
    def l1(self) -> NDArray[np.float32]:
        """L1 deviations, float32 [S, n]."""
        ...

    def propagation_by_step(self) -> NDArray[np.float64]:
        """How much an error made at each step grows on its way to σ_T, float64 [T + 1]."""
        ...


Weighting = Callable[[Measurements], NDArray[np.float64]]
"""measurements → factors of the deviation of every interval t→s, float64 [T, T + 1]."""


def _none(measured: Measurements) -> NDArray[np.float64]:
    return np.ones((len(measured.sigmas) - 1, len(measured.sigmas)))


def _width(measured: Measurements) -> NDArray[np.float64]:
    sigmas = np.array(measured.sigmas)
    return np.abs(sigmas[None, :] - sigmas[:-1, None])


def _propagated(measured: Measurements) -> NDArray[np.float64]:
    return _width(measured) * measured.propagation_by_step()


WEIGHTINGS: dict[str, Weighting] = {
    "none": _none,
    "width": _width,
    "propagated": _propagated,
}
"""1 (the paper's), the interval's width |h|: by how much its error moves the latents, and that
times its propagation from s to the end of the run."""

DEVIATIONS = ("l1", "rms")
"""mean|u − û| (the paper's) and rms(u − û) over a latent's elements."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """How the samples' costs become one: their mean, a quantile, or the mean of the worst.

    ``level`` is the quantile, or for ``cvar`` the quantile from which on samples are the worst.
    """

    kind: str
    level: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Statistic":
        """Read ``"mean"``, ``"quantile:0.9"`` or ``"cvar:0.9"``. Raises InputError."""
        check_kind("statistic", text, str, "give a string, such as mean")
        kind, colon, number = text.partition(":")
        if text == "mean":
            return cls("mean")
        try:
            level = float(number) if colon else 0.9
        except ValueError:
            level = math.nan
        if kind not in ("quantile", "cvar") or not 0 <= level < 1:
            raise InputError(
                f"unknown statistic {text!r}: choose mean, quantile:0.9 or cvar:0.9 (0 to 1)"
            )
        return cls(kind, level)

    def __call__(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reduce costs [S, …] to […]."""
        match self.kind:
            case "mean":
                return costs.mean(axis=0)
            case "quantile":
                return np.quantile(costs, self.level, axis=0)
            case _:
                worst = max(1, round((1 - self.level) * len(costs)))
                return np.partition(costs, len(costs) - worst, axis=0)[-worst:].mean(axis=0)


@dataclass(frozen=True, slots=True)
class Objective:
    """What a planner minimises, Σ C^γ over a path's intervals, and over which intervals.

    Attributes:
        predictors: Names in :data:`meancache_plan.core.predictors.PREDICTORS`.
        metric: Name in :data:`DEVIATIONS`.
        weighting: Name in :data:`WEIGHTINGS`.
        statistic: See :class:`Statistic`.
        gamma: γ in 0 … 1e6, not 0; above 1 it suppresses peaks.
        order: Terms of the predictor ``fitted``, for those planners that have it.
        max_edge: Longest interval, 1 … T steps.

    Raises:
        InputError: A value is unknown or out of range.
    """

    predictors: tuple[str, ...]
    metric: str = "rms"
    weighting: str = "propagated"
    statistic: str = "mean"
    gamma: float = 1.0
    order: int = 2
    max_edge: int = 1000

    def __post_init__(self) -> None:
        """Refuse unknown names and numbers out of range."""
        for kind, name, known in (
            ("metric", self.metric, DEVIATIONS),
            ("weighting", self.weighting, tuple(WEIGHTINGS)),
        ):
            if name not in known:
                raise InputError(f"unknown {kind} {name!r}: choose from {', '.join(known)}")
        Statistic.parse(self.statistic)
        if not 0 < self.gamma <= MAX_GAMMA:
            raise InputError(f"gamma {self.gamma}: must be positive and at most {MAX_GAMMA:g}")

    def reduce(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The samples' weighted deviations [S, …] → C […]."""
        return Statistic.parse(self.statistic)(costs)

    def power(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return C^γ of finite C ≥ 0 […].

        Raises:
            InputError: γ is too large for floats: a cost would be lost to over- or underflow.
        """
        with np.errstate(over="ignore", under="ignore"):
            weights = costs**self.gamma
        lost = (costs > 0) & ~((weights >= LIGHTEST) & (weights <= HEAVIEST))
        if lost.any():
            raise InputError(
                f"gamma {self.gamma}: C^γ leaves the range of floats for costs from "
                f"{costs[costs > 0].min():.3g} to {costs.max():.3g}; choose a smaller gamma"
            )
        return weights
