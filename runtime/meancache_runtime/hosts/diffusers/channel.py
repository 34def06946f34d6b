"""One scheduler's way along a plan: its own step machine, and steps taken with û."""

from collections.abc import Callable, Sequence
from typing import Any

from ...binding import BoundPlan
from ...errors import ReplayError, StepCountError
from ...innovation import OnUnstable
from ...machine import Replay
from ...schedule import Plan, Schedule
from .entry import check_some_entry, find_entry
from .sampler import Stepped, find_start, first_index, is_inner, move_on, take

Bind = Callable[[Plan, Sequence[float]], BoundPlan]


class Channel:
    """Follows a plan with one scheduler through one run.

    A loop *iteration* is a sampler step, or a stage inside one (Heun's second evaluation), which
    a plan has no use for: the denoiser is not due there and the latents stay as they are.

    Attributes:
        scheduler: The scheduler itself.
        machine: The step machine; None until the run's start is known.
        start: The schedule's step that the run begins with.
        iteration: Loop iterations taken.
        policy: ``on_unstable``.
    """

    def __init__(
        self,
        scheduler: Any,
        schedule: Schedule,
        plan: Plan,
        bind: Bind,
        on_unstable: OnUnstable = "warn",
    ) -> None:
        self.scheduler = scheduler
        self.machine: Replay | None = None
        self.start = 0
        self.iteration = 0
        self._schedule, self._plan, self._bind = schedule, plan, bind
        self.policy: OnUnstable = on_unstable
        self._alone = True
        self._first = 0
        self._inner: frozenset[int] = frozenset()
        self._own_steps = True
        self._shape: tuple[int, ...] | None = None

    @property
    def knots(self) -> tuple[int, ...] | None:
        """The steps at which the denoiser runs; None until the run's start is known."""
        return None if self.machine is None else self.machine.plan.knots

    @property
    def inner(self) -> bool:
        """Whether this iteration is a stage inside a step."""
        return self.iteration in self._inner

    @property
    def due(self) -> bool:
        """Whether the denoiser must run in this iteration; the first one always is a knot."""
        if self.machine is None:
            return True
        if self.inner:
            return self._own_steps
        return self.machine.due

    def join_others(self) -> None:
        """From now on leave the bounds to the run: they are of all streams together."""
        self._alone = False
        if self.machine is not None:
            self._tell(self.machine)

    def _tell(self, machine: Replay) -> None:
        machine.patient = machine.innovations.alone = self._alone

    def prepare(self) -> None:
        """Before a denoiser call: refuse a run that the schedule was not made for.

        Raises:
            StepCountError: Another number of steps, or a start that is not on the schedule's grid.
            GridMismatchError: Other noise levels.
        """
        if self.machine is not None:
            return
        first = first_index(self.scheduler)
        if first is None:
            check_some_entry(self._schedule, self._plan, self.scheduler)
        else:
            self._begin(first)

    def _begin(self, first: int) -> None:
        entry = find_entry(self._schedule, self._plan, self.scheduler, first)
        bound = self._bind(entry.plan, entry.sigmas)
        numbers = range(entry.start, entry.start + bound.steps)
        self.machine = Replay(bound, numbers, self.policy)
        self._tell(self.machine)
        self.start, self._first = entry.start, first
        count = len(self.scheduler.sigmas) - 1 - first
        self._inner = frozenset(i for i in range(count) if is_inner(self.scheduler, first + i))
        self._own_steps = self._schedule.grid.replaces is None or _changes_nothing(bound)

    def step(self, model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        """In place of ``scheduler.step``: take the guided velocity, step with û.

        Raises:
            StepCountError: The scheduler is elsewhere than the plan.
            StepCountError, GridMismatchError: As :meth:`prepare`.
            ReplayError: The run is over, or its latents have another shape than before.
            NonFiniteError: The velocity of a knot has NaN or infinite values.
            UnstableError: A sample left the plan's bounds, and that is to end the run.
        """
        if self.machine is None:
            self._begin(find_start(self.scheduler, timestep))
        assert self.machine is not None
        self._check_one_run(self.machine, tuple(sample.shape))
        velocity = model_output if self.inner else self.machine.advance(model_output)
        if self._own_steps:
            result = self.scheduler.step(velocity, timestep, sample, *args, **kwargs)
        else:
            find_start(self.scheduler, timestep)
            result = Stepped(sample) if self.inner else take(self.scheduler, velocity, sample)
            move_on(self.scheduler)
        self.iteration += 1
        self._check_in_step()
        return result

    def _check_one_run(self, machine: Replay, shape: tuple[int, ...]) -> None:
        if machine.done:
            raise ReplayError(
                f"all {machine.plan.steps} steps of the schedule are taken and the pipeline goes "
                "on: it samples several sections, windows or tiles in one call, and a schedule is "
                "for one run; ask for one of them a call, or run it without a schedule"
            )
        if self._shape not in (None, shape):
            raise ReplayError(
                f"at step {self.start + machine.step} the latents have the shape {list(shape)}, "
                f"and had {list(self._shape or ())} before: a schedule goes on with velocities of "
                "earlier steps; run this pipeline without a schedule"
            )
        self._shape = shape

    def _check_in_step(self) -> None:
        here, expected = self.scheduler.step_index, self._first + self.iteration
        if here not in (None, expected):
            raise StepCountError(
                f"the scheduler is at step {here} of its grid, but the plan is at step "
                f"{expected}: start runs at the step that the scheduler was given, and let no "
                "other pipeline use this scheduler meanwhile (from_pipe shares it); give each its "
                "own before attaching: pipe.scheduler = copy.deepcopy(pipe.scheduler)"
            )


def _changes_nothing(plan: BoundPlan) -> bool:
    """Whether the denoiser runs at every step and its velocity is used as it is."""
    return len(plan.knots) == plan.steps and all(map(plan.is_plain, range(plan.steps)))
