"""From knot to knot: what makes a scheduler of Euler steps follow a plan."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...aloud import Aloud
from ...arrays import NARROW, elements
from ...binding import bind
from ...errors import ReplayError, StepCountError, UnsupportedSchedulerError
from ...grid import check_grid
from ...innovation import OnUnstable, check_policy
from ...machine import Replay
from ...requests import check_comparable, compare, refuse
from ...schedule import Plan, Schedule
from ...table import Table
from .sampler import EULER, check_deterministic

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
        FlowMatchEulerDiscreteScheduler as Euler,
    )
else:
    Euler = object


IN_ORDER = "take the steps of a run in order, one run at a time"


@lru_cache(maxsize=8)
def _table(plan: Plan, sigmas: tuple[float, ...], displaced: bool) -> Table:
    """The plan's table, which all requests on one grid have in common."""
    return Table.of(bind(plan, sigmas, displaced))


def _later_start(where: str) -> StepCountError:
    return StepCountError(
        f"this run begins at {where} (as image-to-image does), which a loop over the knots alone "
        "does not have: use meancache_runtime.attach, or strength 1"
    )


def _check_arguments(step: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Refuse what a step of Euler's scheduler could not take, before anything is counted."""
    try:
        given = inspect.signature(step).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise UnsupportedSchedulerError(f"{EULER}.step: {error}") from error
    for name in ("model_output", "sample"):
        if name in given and not isinstance(given[name], Tensor):
            kind = type(given[name]).__name__
            raise ReplayError(f"{name} is a {kind}: give step a tensor")


def _half(velocity: Tensor) -> str | None:
    """The model's dtype, where its velocity tells: pipelines may widen it, and never narrow it."""
    name = str(velocity.dtype).removeprefix("torch.")
    return name if name in NARROW else None


class Following(Euler):
    """A base that goes before the class of an Euler scheduler, of diffusers or of a server.

    The scheduler is told all T steps and shows a loop the plan's knots alone. :meth:`follow` comes
    before anything else. A pipeline that counts a ``strength`` in steps counts the knots: above
    1 − 1/B it is 1 to Flux and Qwen-Image, which is not seen from here.
    """

    _machine: Replay | None = None
    _shape: tuple[int, ...] = ()

    def follow(
        self,
        schedule: Schedule,
        budget: int,
        on_unstable: OnUnstable = "warn",
        strict: bool = False,
    ) -> None:
        """Choose the plan that every run follows from now on.

        Args:
            schedule: Where the plan is.
            budget: One of its budgets.
            on_unstable: As for :func:`meancache_runtime.attach`, but for ``"refresh"``: this loop
                never visits the steps between knots.
            strict: Refuse what is otherwise a warning: latents of another size, half precision
                where another dtype was calibrated, a run that begins from a picture.

        Raises:
            RequestMismatchError: To be strict, and the schedule does not say what was calibrated.
            ReplayError: ``on_unstable`` is ``"refresh"``, or unknown, or is to act and the plan
                has no bounds.
            BudgetError: The schedule has no plan for this budget.
            UnsupportedSchedulerError: The schedule was made for another sampler than Euler's.
        """
        if on_unstable == "refresh":
            raise ReplayError(
                "on_unstable 'refresh' needs the steps between knots, which this loop never "
                "visits: use meancache_runtime.attach, or choose 'warn', 'raise' or 'ignore'"
            )
        self._policy: OnUnstable = on_unstable
        self._aloud, self._strict = Aloud(), strict
        self._plan = schedule.plan(budget)
        check_policy(on_unstable, self._plan.knots, self._plan.innovation)
        check_comparable(schedule, strict)
        self._schedule, self._grid = schedule, schedule.grid
        if self._grid.replaces is not None:
            raise UnsupportedSchedulerError(
                f"the schedule takes the steps of {self._grid.replaces}, whose noise levels this "
                f"scheduler does not know: use meancache_runtime.attach, or calibrate with {EULER}"
            )

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: list[float] | None = None,
        mu: float | None = None,
        timesteps: list[float] | None = None,
    ) -> None:
        """As Euler's, for all T steps; what remains to be taken are the knots.

        Raises:
            StepCountError: Another number of steps than the schedule's, or none at all.
            GridMismatchError: Other noise levels than the schedule allows.
            UnsupportedSchedulerError: The scheduler has been told to draw fresh noise.
        """
        self._machine = None
        check_deterministic(self)
        if num_inference_steps is None and sigmas is None and timesteps is None:
            raise StepCountError(
                f"this run does not say how many steps it takes: pass num_inference_steps="
                f"{self._grid.steps}, the schedule's"
            )
        if num_inference_steps is not None and not (
            isinstance(num_inference_steps, Integral) and num_inference_steps > 0
        ):
            raise StepCountError(
                f"num_inference_steps is {num_inference_steps!r}, not a number of steps: pass "
                f"{self._grid.steps}, the schedule's"
            )
        custom = {} if timesteps is None else {"timesteps": timesteps}
        super().set_timesteps(num_inference_steps, device, sigmas, mu, **custom)
        every: Tensor = self.timesteps
        levels = tuple(self.sigmas.tolist())
        check_grid(self._grid, levels)
        table = _table(self._plan, levels, self._grid.displaced)
        self._machine, knots = table.machine(self._policy), torch.tensor(table.knots)
        self.timesteps = every[knots.to(every.device)]
        self.sigmas = torch.cat([self.sigmas[knots.to(self.sigmas.device)], self.sigmas[-1:]])
        self.num_inference_steps = len(knots)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """As Euler's; a run can begin at the first step only.

        Raises:
            StepCountError: The run begins later, as image-to-image does: the pipeline counts steps
                that are not in this loop.
        """
        if begin_index:
            raise _later_start(f"step {begin_index} of its grid")
        super().set_begin_index(begin_index)

    def scale_noise(self, sample: Any, timestep: Any, noise: Any = None) -> Any:
        """As Euler's; before the first step, the noise is that of the first step only.

        A run that mixes it with a picture begins there whatever its strength, as long as its
        pipeline takes that for 1: it is warned of once, as the strength cannot be seen from here.

        Raises:
            RequestMismatchError: It begins from a picture, and that is to be refused.
            StepCountError: The run begins later, as video-to-video does, or takes no step.
        """
        if self._machine is not None and self._machine.step == 0:
            asked = torch.as_tensor(timestep, device=self.timesteps.device).flatten()
            if not len(asked) or not all(self._is_at(0, each) for each in asked):
                raise _later_start("another step than its first")
            self._note(
                "this run begins from a picture: in a loop over the knots alone a strength "
                f"above {1 - 1 / len(self.timesteps):.2f} counts as 1; to begin later use "
                "meancache_runtime.attach"
            )
        return super().scale_noise(sample, timestep, noise)

    def scale_model_input(self, sample: Any, timestep: Any = None) -> Any:
        """The sample: Euler's steps scale nothing, which Bria asks of any class but Euler's."""
        return sample

    def _is_at(self, index: int, timestep: Any) -> bool:
        """Whether a timestep is the loop's own of this index, to the precision that it is in."""
        asked = torch.as_tensor(timestep, device=self.timesteps.device)
        every = self.timesteps.to(asked.dtype) if asked.is_floating_point() else self.timesteps
        off = (every - asked).abs()
        return bool(off[index] == off.min())

    def step(
        self, model_output: Tensor, timestep: Any, sample: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Take the step to the next knot, with û in place of the model's velocity.

        Raises:
            StepCountError: ``set_timesteps`` was not called, or steps are not taken in order.
            UnsupportedSchedulerError: Steps with a noise level for each token are asked for, or
                something that Euler's step does not know.
            ReplayError: The velocity or the sample is no tensor.
            RequestMismatchError: Size or precision are others, and that is to be refused.
            NonFiniteError: The velocity has NaN or infinite values.
            UnstableError: A sample left the plan's bounds, and that is to end the run.
        """
        if kwargs.get("per_token_timesteps", args[5] if len(args) > 5 else None) is not None:
            raise UnsupportedSchedulerError(
                "per-token timesteps cannot follow one schedule: run this pipeline without "
                "a schedule"
            )
        _check_arguments(super().step, model_output, timestep, sample, *args, **kwargs)
        machine, shape = self._machine, tuple(model_output.shape)
        if machine is None or machine.done:
            raise StepCountError(
                "no step of the plan's loop is due: call set_timesteps before a run"
            )
        self._check_in_order(machine.step, shape, timestep)
        if machine.step == 0:
            seen = {"elements": elements(sample), "dtype": _half(model_output)}
            for message in compare(seen, self._schedule, self._plan.budget).messages:
                self._note(message)
        velocity = machine.advance(model_output)
        self._aloud.say(machine.warning, "unstable")
        return super().step(velocity, timestep, sample, *args, **kwargs)

    def _note(self, message: str) -> None:
        """Say aloud in what a run is other than what was calibrated, or refuse it."""
        self._aloud.say(refuse(message, self._strict))

    def _check_in_order(self, due: int, shape: tuple[int, ...], timestep: Any) -> None:
        """Refuse a step that is not the run's own of index ``due``. Raises StepCountError."""
        if self.step_index is None:
            self._step_index = 0
        if due == 0:
            self._shape = shape
        if due != self.step_index or shape != self._shape:
            raise StepCountError(
                f"step {self.step_index} of the plan's loop, of shape {list(shape)}, is asked for "
                f"where step {due}, of shape {list(self._shape)}, is due: {IN_ORDER}"
            )
        if not self._is_at(due, timestep):
            raise StepCountError(
                f"timestep {timestep} is asked for where {float(self.timesteps[due])} of "
                f"step {due} of the plan's loop is due: {IN_ORDER}"
            )
