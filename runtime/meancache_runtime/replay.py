"""The step machine that follows a bound plan, and a host for it without diffusers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .binding import BoundPlan, bind
from .errors import GridMismatchError, ReplayError, StepCountError
from .schedule import Replayable, Schedule, as_schedule


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


class Replay:
    """A plan's step machine: ask :attr:`due`, then :meth:`advance`, once a sampler step.

    Each distinct û is combined once. Fresh velocities are kept in float32 (or wider), and only
    while a later step needs them.

    Example:
        >>> import torch
        >>> from meancache_runtime.binding import BoundPlan
        >>> plan = BoundPlan(sigmas=(1.0, 0.5, 0.0), knots=(0,), forms=({0: 1.0}, {0: 1.0}))
        >>> machine = Replay(plan)
        >>> machine.due
        True
        >>> machine.advance(torch.ones(1)), machine.due, machine.advance(torch.zeros(1))
        (tensor([1.]), False, tensor([1.]))
    """

    def __init__(self, plan: BoundPlan) -> None:
        self.plan = plan
        self._knots = frozenset(plan.knots)
        self._combined = frozenset(filter(self._combines, range(plan.steps)))
        self._last_use = {k: step for step in sorted(self._combined) for k in plan.forms[step]}
        self.reset()

    def _combines(self, step: int) -> bool:
        """Whether û is formed at a step: neither that of the step before nor a knot's own v."""
        own = step in self._knots and self.plan.is_plain(step)
        return not own and not self._repeats(step)

    def _repeats(self, step: int) -> bool:
        """Whether a step is taken with the very û of the step before."""
        forms = self.plan.forms
        return step not in self._knots and forms[step] == forms[step - 1]

    def reset(self) -> None:
        """Forget the run: back to step 0, no tensor kept."""
        self.step = 0
        self._fresh: dict[int, Tensor] = {}
        self._answer: Tensor | None = None

    @property
    def due(self) -> bool:
        """Whether the denoiser must run at this step."""
        return self.step in self._knots

    @property
    def done(self) -> bool:
        """Whether the last step has been taken."""
        return self.step == self.plan.steps

    def advance(self, velocity: Tensor) -> Tensor:
        """Take one sampler step: return the velocity to hand to the sampler.

        Args:
            velocity: At a knot the guided velocity, any shape and floating dtype; at a cached
                step its values are ignored.

        Returns:
            û of this step, with the dtype and shape of the knot's velocity. Do not change it in
            place.

        Raises:
            ReplayError: All steps have been taken; call :meth:`reset` first.
        """
        if self.done:
            raise ReplayError(f"all {self.plan.steps} steps are taken; reset() before a new run")
        if self.due:
            self._log(velocity)
            self._answer = velocity
        answer = self._answer
        assert answer is not None  # step 0 is a knot of every plan
        if self.step in self._combined:
            answer = self._combination(answer)
        elif self.due and self._serves_again():
            answer = velocity.clone()  # the host may reuse its tensor while this one still serves
        self._answer = answer
        self._forget_unneeded()
        self.step += 1
        if self.done:
            self._answer = None
        return answer

    def _log(self, velocity: Tensor) -> None:
        """Keep a fresh velocity if û of this or a later step is formed from it."""
        if self.step in self._last_use:
            wide = torch.promote_types(velocity.dtype, torch.float32)
            self._fresh[self.step] = velocity.to(wide, copy=True)

    def _serves_again(self) -> bool:
        """Whether the next step is taken with the same û."""
        return self.step + 1 < self.plan.steps and self._repeats(self.step + 1)

    def _forget_unneeded(self) -> None:
        """Drop the velocities that no later step needs."""
        for step in [step for step in self._fresh if self._last_use[step] <= self.step]:
            del self._fresh[step]

    def _combination(self, like: Tensor) -> Tensor:
        """This step's ``Σ weight · fresh velocity`` in the log's precision, rounded once."""
        total: Tensor | None = None
        for step, weight in self.plan.forms[self.step].items():
            fresh = self._fresh[step]
            total = fresh * weight if total is None else total.add_(fresh, alpha=weight)
        return torch.zeros_like(like) if total is None else total.to(like.dtype)


def integrate(
    velocity: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    schedule: Schedule | Replayable,
    *,
    budget: int,
    sigmas: Sequence[float] | None = None,
) -> Tensor:
    """Follow a schedule's plan through Euler steps with any velocity function.

    Args:
        velocity: ``velocity(latents, sigma) -> velocity`` of the same shape as ``latents``.
        noise: Latents at σ₀, any shape, floating dtype.
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
        budget: One of ``schedule.budgets``; ``velocity`` is called once a knot.
        sigmas: The noise levels to run on, length T + 1; the schedule's own by default.

    Returns:
        Latents at σ_T.

    Raises:
        BudgetError: The schedule has no plan for this budget.
        StepCountError: ``sigmas`` has another number of steps than the schedule.
        GridMismatchError: ``sigmas`` is farther off than the schedule allows, or is missing
            although the schedule does not state a grid.
    """
    schedule = as_schedule(schedule)
    plan = schedule.plan(budget)
    if sigmas is None:
        if schedule.grid.sigmas is None:
            raise GridMismatchError("the schedule states no grid: pass sigmas=…, from σ₀ to σ_T")
        sigmas = schedule.grid.sigmas
    sigmas = tuple(float(sigma) for sigma in sigmas)
    check_grid(schedule, sigmas)
    machine = Replay(bind(plan, sigmas, schedule.grid.displaced))
    latents, fresh = noise, noise
    for sigma, following in pairwise(sigmas):
        if machine.due:
            fresh = velocity(latents, sigma)
        latents = latents + (following - sigma) * machine.advance(fresh)
    return latents


def check_grid(schedule: Schedule, sigmas: Sequence[float]) -> None:
    """Refuse a run on another grid than the schedule's.

    Raises:
        StepCountError: Another number of steps.
        GridMismatchError: σ is not strictly monotone, or somewhere farther off than the
            schedule's tolerance.
    """
    grid = schedule.grid
    if len(sigmas) - 1 != grid.steps:
        raise StepCountError(
            f"this run has {len(sigmas) - 1} steps, but the schedule was made for {grid.steps}: "
            f"pass num_inference_steps={grid.steps}, or compile a schedule for "
            f"{len(sigmas) - 1} steps"
        )
    check_monotone(sigmas)
    if grid.sigmas is None:
        return
    there = enumerate(zip(sigmas, grid.sigmas, strict=True))
    off, step = max((abs(a - b), i) for i, (a, b) in there)
    if off > grid.tolerance:
        raise GridMismatchError(
            f"this run's σ at step {step} is {sigmas[step]:.4f}, but the schedule's is "
            f"{grid.sigmas[step]:.4f}: they differ by {off:.4f}, and {grid.tolerance:.4f} is "
            "allowed; use the size and the scheduler settings (shift) that the schedule was made "
            "for, or calibrate at these"
        )


def check_monotone(sigmas: Sequence[float]) -> None:
    """Refuse noise levels that neither strictly rise nor strictly fall.

    Raises:
        GridMismatchError: The noise levels are not strictly monotone.
    """
    pairs = list(pairwise(sigmas))
    if not (all(a > b for a, b in pairs) or all(a < b for a, b in pairs)):
        raise GridMismatchError(
            "this run's noise levels are not strictly monotone: pass sigmas that are, or leave "
            "sigmas out"
        )
