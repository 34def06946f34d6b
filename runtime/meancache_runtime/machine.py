"""The step machine that follows a bound plan, over any array type."""

from collections.abc import Sequence

from .arrays import Array, broken_samples, copied, is_finite, like, widened
from .binding import BoundPlan, check_bound
from .errors import NonFiniteError, ReplayError


class Replay:
    """A plan's step machine: ask :attr:`due`, then :meth:`advance`, once a sampler step.

    Each distinct û is combined once. Fresh velocities are kept in float32 (or wider), and only
    while a later step needs them. Each is looked at once for NaN and infinity: on an accelerator
    that waits for the model, once a refresh, and for a moment beside it.

    Args:
        plan: What is followed.
        numbers: What messages call the plan's steps; 0 … T − 1 by default.

    Raises:
        ScheduleError: ``plan`` is not bound to noise levels.

    Example:
        >>> from meancache_runtime.binding import BoundPlan
        >>> plan = BoundPlan(sigmas=(1.0, 0.5, 0.0), knots=(0,), forms=({0: 1.0}, {0: 1.0}))
        >>> machine = Replay(plan)
        >>> machine.due
        True
        >>> machine.advance(3.0), machine.due, machine.advance(0.0)
        (3.0, False, 3.0)
    """

    def __init__(self, plan: BoundPlan, numbers: Sequence[int] | None = None) -> None:
        check_bound(plan)
        self.plan = plan
        self._numbers = range(plan.steps) if numbers is None else numbers
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
        self._fresh: dict[int, Array] = {}
        self._answer: Array | None = None

    @property
    def due(self) -> bool:
        """Whether the denoiser must run at this step."""
        return self.step in self._knots

    @property
    def done(self) -> bool:
        """Whether the last step has been taken."""
        return self.step == self.plan.steps

    def advance(self, velocity: Array) -> Array:
        """Take one sampler step: return the velocity to hand to the sampler.

        Args:
            velocity: At a knot the guided velocity, any shape and floating dtype; at a cached
                step its values are ignored.

        Returns:
            û of this step, with the dtype and shape of the knot's velocity. Do not change it in
            place.

        Raises:
            ReplayError: All steps have been taken; call :meth:`reset` first.
            NonFiniteError: A knot's velocity has NaN or infinite values.
        """
        if self.done:
            raise ReplayError(f"all {self.plan.steps} steps are taken; reset() before a new run")
        if self.due:
            self._check(velocity)
            self._log(velocity)
            self._answer = velocity
        answer = self._answer
        assert answer is not None  # step 0 is a knot of every plan
        if self.step in self._combined:
            answer = self._combination(answer)
        elif self.due and self._serves_again():
            answer = copied(velocity)  # the host may reuse its tensor while this one still serves
        self._answer = answer
        self._forget_unneeded()
        self.step += 1
        if self.done:
            self._answer = None
        return answer

    def _check(self, velocity: Array) -> None:
        if is_finite(velocity):
            return
        where = f"at knot {self._numbers[self.step]} (σ = {self.plan.sigmas[self.step]:.4f})"
        samples = broken_samples(velocity)
        if samples:
            where += f" in sample {', '.join(map(str, samples))} (of {len(velocity)}, from 0)"
        raise NonFiniteError(
            f"the velocity is NaN or infinite {where}: see whether the model is so without the "
            "schedule too; if it is, try a wider dtype than float16, or no adapters, and else a "
            "larger budget"
        )

    def _log(self, velocity: Array) -> None:
        """Keep a fresh velocity if û of this or a later step is formed from it."""
        if self.step in self._last_use:
            self._fresh[self.step] = widened(velocity)

    def _serves_again(self) -> bool:
        """Whether the next step is taken with the same û."""
        return self.step + 1 < self.plan.steps and self._repeats(self.step + 1)

    def _forget_unneeded(self) -> None:
        """Drop the velocities that no later step needs."""
        for step in [step for step in self._fresh if self._last_use[step] <= self.step]:
            del self._fresh[step]

    def _combination(self, model: Array) -> Array:
        """This step's ``Σ weight · fresh velocity`` in the log's precision, rounded once."""
        form = self.plan.forms[self.step]
        if not form:
            return model * 0
        total = sum(weight * self._fresh[step] for step, weight in form.items())
        return like(total, model)
