"""The innovation at a knot: how far its fresh velocity is from what the history promised.

What is promised is a straight line in σ through the two fresh velocities before, or the one before
where there is no other, whatever predictors the plan has. The relative difference

    innovation = ‖v_n − promised‖ / ‖v_n‖

is free: both are there. The artifact bounds it at every knot by what calibration samples did; a
sample beyond the bound does not follow its plan as those did.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Literal, get_args

from .arrays import Array, largest_share, like, listed, squares, wide
from .binding import BoundPlan, LinearForm
from .errors import ReplayError

OnUnstable = Literal["warn", "refresh", "raise", "ignore"]
"""What to do with a sample that leaves its bounds."""


def check_policy(policy: str, knots: Sequence[int], bounds: Sequence[float] | None) -> None:
    """Refuse what is no :data:`OnUnstable`, or is to act on bounds that there are none of.

    Raises:
        ReplayError: One of both.
    """
    known = get_args(OnUnstable)
    if policy not in known:
        raise ReplayError(f"on_unstable {policy!r} is unknown: choose one of {', '.join(known)}")
    if policy in ("refresh", "raise") and len(knots) > 1 and not bounds:
        raise ReplayError(
            f"this plan has no bounds (innovation), on which on_unstable {policy!r} would act: "
            "calibrate two prompts or more and solve again, or choose 'warn' or 'ignore'"
        )


def promised(sigmas: Sequence[float], knots: Sequence[int]) -> list[LinearForm]:
    """For each knot after the first, what its velocity should be, as weights of those before.

    Args:
        sigmas: σ₀ … σ_T.
        knots: Steps, ascending.

    Example:
        >>> promised((1.0, 0.75, 0.5, 0.0), (0, 1, 2))
        [{0: 1.0}, {1: 2.0, 0: -1.0}]
    """
    forms: list[LinearForm] = []
    for n, knot in enumerate(knots[1:], start=1):
        last = knots[n - 1]
        if n == 1:
            forms.append({last: 1.0})
            continue
        before = knots[n - 2]
        ahead = (sigmas[knot] - sigmas[last]) / (sigmas[last] - sigmas[before])
        forms.append({last: 1.0 + ahead, before: -ahead})
    return forms


class Innovations:
    """Those of one run, as shares of their bounds: beyond 1, a sample has left them.

    Keeps the two latest fresh velocities.

    Args:
        plan: Whose knots these are.
        measured: Whether to measure, if the plan has bounds.

    Attributes:
        measured: Whether anything is measured.
        alone: Whether these samples are all that the bounds are of; where other streams have a
            part in them, :meth:`judge` is for all together.
        squares: Of the latest knot with a bound: those of its gap and of its velocity, a sample
            each.
        bounds: Those that there are, by knot.
        shares: The largest of a sample at each knot so far.
        worst: The largest of all; 0 before anything was measured.
        knot: The step of the plan at which that was; None before.
        sample: Whose it was, from 0.
    """

    def __init__(self, plan: BoundPlan, measured: bool = True) -> None:
        every = zip(plan.knots[1:], plan.bounds, strict=bool(plan.bounds))
        self.bounds = {knot: bound for knot, bound in every if isfinite(bound)}
        self.measured = measured and bool(self.bounds)
        self.alone = True
        self.squares: tuple[list[float], list[float]] = [], []
        self._unread: tuple[Array, Array] | None = None
        self._promised = dict(zip(plan.knots[1:], promised(plan.sigmas, plan.knots), strict=True))
        self._fresh: dict[int, Array] = {}
        self.shares: dict[int, float] = {}
        self.worst, self.sample = 0.0, 0
        self.knot: int | None = None

    def see(self, knot: int, fresh: Array, model: Array) -> bool:
        """Look at a knot's fresh velocity, kept as it is; whether there is something to read.

        The one before is kept in the precision of ``model``, in which it came.
        """
        bound = knot in self.bounds
        if bound:
            gap = whole = wide(fresh)
            for step, weight in self._promised[knot].items():
                gap = gap - weight * wide(self._fresh[step])
            self._unread = squares(gap), squares(whole)
        self._fresh = {step: like(self._fresh[step], model) for step in sorted(self._fresh)[-1:]}
        self._fresh[knot] = fresh
        return bound

    def read(self) -> bool:
        """Read what was seen at the latest knot; whether it tells that the velocity is finite."""
        assert self._unread is not None
        part, whole = self._unread
        self._unread, self.squares = None, (listed(part), listed(whole))
        return all(map(isfinite, self.squares[1]))

    def judge(self, knot: int, streams: Sequence[tuple[list[float], list[float]]]) -> bool:
        """Whether a sample left the bound of a knot, of the ``squares`` of all streams."""
        largest, sample = largest_share(streams)
        share = self.shares[knot] = largest / self.bounds[knot]
        if self.knot is None or share > self.worst:
            self.worst, self.knot, self.sample = share, knot, sample
        return share > 1.0
