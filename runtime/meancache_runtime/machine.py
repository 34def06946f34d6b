"""The step machine that follows a bound plan, over any array type."""

from collections.abc import Sequence

from .arrays import (
    Array,
    broken_samples,
    copied,
    finiteness,
    is_awaited,
    is_finite,
    is_true,
    like,
    widened,
)
from .binding import BoundPlan, check_bound
from .errors import NonFiniteError, ReplayError, UnstableError
from .innovation import Innovations, OnUnstable, check_policy


class Replay:
    """A plan's step machine: ask :attr:`due`, then :meth:`advance`, once a sampler step.

    Each distinct û is combined once. Fresh velocities are kept in float32 (or wider), and only
    while a later step needs them. Each is looked at once, for NaN and infinity too, with the step
    that it is of. To read what was found is to wait for an accelerator, which then stands idle
    until the next refresh is under way: a host that is :attr:`patient` has that done by
    :meth:`settle` when all steps in between are queued.

    Args:
        plan: What is followed.
        numbers: What messages call the plan's steps; 0 … T − 1 by default.
        on_unstable: What happens where a sample leaves the plan's bounds, which are looked at
            once a refresh too: ``"warn"`` goes on, and :attr:`innovations` has it; ``"refresh"``
            has the denoiser run at every step until a knot where all samples are back within
            them; ``"raise"`` ends the run; ``"ignore"`` does not look.

    Raises:
        ScheduleError: ``plan`` is not bound to noise levels.
        ReplayError: ``on_unstable`` is unknown, or is to act and the plan has no bounds.

    Example:
        >>> from meancache_runtime.binding import BoundPlan
        >>> plan = BoundPlan(sigmas=(1.0, 0.5, 0.0), knots=(0,), forms=({0: 1.0}, {0: 1.0}))
        >>> machine = Replay(plan)
        >>> machine.due
        True
        >>> machine.advance(3.0), machine.due, machine.advance(0.0)
        (3.0, False, 3.0)
    """

    patient = False
    """Whether the host calls :meth:`settle` before each refresh and when its loop is over; where
    ``on_unstable`` acts, and at the last step, :meth:`advance` does so all the same."""

    def __init__(
        self,
        plan: BoundPlan,
        numbers: Sequence[int] | None = None,
        on_unstable: OnUnstable = "warn",
    ) -> None:
        check_bound(plan)
        check_policy(on_unstable, plan.knots, plan.bounds)
        self.plan = plan
        self._policy: OnUnstable = on_unstable
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
        self._strayed = False
        self._unread: tuple[int, Array, Array | None] | None = None
        self.innovations = Innovations(self.plan, measured=self._policy != "ignore")

    @property
    def due(self) -> bool:
        """Whether the denoiser must run at this step."""
        return self._strayed or self.step in self._knots

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
            NonFiniteError: A fresh velocity has NaN or infinite values.
            UnstableError: A sample left the plan's bounds, and that is to end the run.
        """
        if self.done:
            raise ReplayError(f"all {self.plan.steps} steps are taken; reset() before a new run")
        kept = velocity
        if self.due:
            kept = self._look(velocity)
            self._answer = velocity
        answer = self._answer
        assert answer is not None  # step 0 is a knot of every plan
        if self._strayed:
            pass  # a plain step with the fresh velocity
        elif self.step in self._combined:
            answer = self._combination(answer)
        elif self.due and self._serves_again():
            answer = _own(kept, velocity)  # the host may reuse its tensor while this still serves
        self._answer = answer
        self._forget_unneeded()
        self.step += 1
        if self.done:
            self._answer = None
            self.settle()
        return answer

    def settle(self) -> None:
        """Read what was found of the latest fresh velocity, and act on it. Raises as advance."""
        if self._unread is None:
            return
        (step, velocity, whole), self._unread = self._unread, None
        found, bound = self.innovations, whole is None
        if not (found.read() or is_finite(velocity) if bound else is_true(whole)):
            raise self._broken(step, velocity)
        if step in self._knots:
            self.act_on(bound and found.alone and found.judge(step, [found.squares]))

    def _broken(self, step: int, velocity: Array) -> NonFiniteError:
        where = f"at knot {self._numbers[step]} (σ = {self.plan.sigmas[step]:.4f})"
        samples = broken_samples(velocity)
        if samples:
            where += f" in sample {', '.join(map(str, samples))} (of {len(velocity)}, from 0)"
        return NonFiniteError(
            f"the velocity is NaN or infinite {where}: see whether the model is so without the "
            "schedule too; if it is, try a wider dtype than float16, or no adapters, and else a "
            "larger budget"
        )

    def _look(self, velocity: Array) -> Array:
        """See whether a fresh velocity is finite, at a knot as promised too; keep what is used.

        Returns:
            What is kept of it, or itself.
        """
        self.settle()
        used, found = self.step in self._last_use, self.innovations
        seen = found.measured and self.step in self._knots
        fresh = widened(velocity) if used else copied(velocity) if seen else velocity
        if used:
            self._fresh[self.step] = fresh
        bound = seen and found.see(self.step, fresh, velocity)
        self._unread = self.step, fresh, None if bound else finiteness(fresh)
        if self._policy in ("refresh", "raise") or not (self.patient and is_awaited(fresh)):
            self.settle()
        return fresh

    def act_on(self, left: bool) -> None:
        """Do as ``on_unstable`` says, if a sample left the bounds. Raises UnstableError."""
        if left and self._policy == "raise":
            raise UnstableError(self.unstable)
        self._strayed = left and self._policy == "refresh"

    @property
    def unstable(self) -> str | None:
        """Where a sample left the plan's bounds and how far, as a sentence; None if none has."""
        found = self.innovations
        if found.knot is None or found.worst <= 1.0:
            return None
        count = len(found.squares[0])
        which = "a sample" if count == 1 else f"sample {found.sample} (of {count}, from 0)"
        return (
            f"at knot {self._numbers[found.knot]} {which} moves otherwise than the calibration "
            f"samples did: {found.worst:.1f} times as far from what its steps before promised as "
            "the schedule allows; it may be worse than what was measured: compare with a run "
            "without the schedule, or calibrate for such requests"
        )

    @property
    def warning(self) -> str | None:
        """:attr:`unstable`, where ``on_unstable`` has it said aloud."""
        return self.unstable if self._policy == "warn" else None

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


def _own(kept: Array, velocity: Array) -> Array:
    """A velocity that its maker cannot change in place: what is kept of it, if that is the same."""
    same = getattr(kept, "dtype", None) == getattr(velocity, "dtype", None)
    return kept if same and kept is not velocity else copied(velocity)
