"""A plan as the scheduler of a pipeline: its loop runs once a refresh, and nothing is intercepted.

:func:`meancache_runtime.attach` lets a pipeline take all T steps and answers its denoiser between
knots. Here the pipeline sees the knots alone, so that whatever cannot be intercepted works as well:
modular pipelines, sharded and compiled models, servers.
"""

import json
from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from ...binding import bind
from ...errors import StepCountError, UnsupportedSchedulerError
from ...grid import check_grid
from ...machine import Replay
from ...schedule import Replayable, Schedule, as_schedule, parse_schedule, to_document
from ...table import Table
from .sampler import EULER, replaced

OWN = ("meancache_schedule", "meancache_budget")
"""What its configuration holds beside that of Euler's scheduler."""


class MeanCacheScheduler(FlowMatchEulerDiscreteScheduler):
    """Euler's scheduler on T steps, of which it shows a pipeline the plan's knots alone.

    Make one with :meth:`from_schedule`. ``save_pretrained`` keeps the schedule's plan in the
    scheduler's configuration. The pipeline's call stays as it was, with ``num_inference_steps`` T;
    its loop runs once a knot. What model and adapters the pipeline has cannot be seen from here:
    :func:`meancache_runtime.attach` compares them with the schedule's.

    Args:
        meancache_schedule: A schedule file's content, as JSON values.
        meancache_budget: One of its budgets.
        euler: The configuration of :class:`diffusers.FlowMatchEulerDiscreteScheduler`.

    Raises:
        ScheduleError: The schedule is not valid.
        BudgetError: The schedule has no plan for this budget.
        UnsupportedSchedulerError: The schedule was made for another sampler than Euler's.
    """

    def __init__(
        self, meancache_schedule: dict[str, Any], meancache_budget: int, **euler: Any
    ) -> None:
        super().__init__(**euler)
        schedule = parse_schedule(json.dumps(meancache_schedule).encode())
        self.register_to_config(
            meancache_schedule=meancache_schedule, meancache_budget=meancache_budget
        )
        self._plan = schedule.plan(meancache_budget)
        self._grid = schedule.grid
        self._machine: Replay | None = None
        self._shape: tuple[int, ...] = ()
        if self._grid.replaces is not None:
            raise UnsupportedSchedulerError(
                f"the schedule takes the steps of {self._grid.replaces}, whose noise levels this "
                f"scheduler does not know: use meancache_runtime.attach, or calibrate with {EULER}"
            )

    @classmethod
    def from_schedule(
        cls, scheduler: Any, schedule: Schedule | Replayable, *, budget: int
    ) -> "MeanCacheScheduler":
        """The scheduler that follows a schedule's plan on the grid of ``scheduler``.

        Args:
            scheduler: A pipeline's own: a :class:`diffusers.FlowMatchEulerDiscreteScheduler`.
            schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
            budget: One of ``schedule.budgets``.

        Raises:
            BudgetError: The schedule has no plan for this budget.
            UnsupportedSchedulerError: ``scheduler`` takes other steps than Euler's, or the schedule
                was made for another sampler.

        Example:
            >>> pipe.scheduler = MeanCacheScheduler.from_schedule(  # doctest: +SKIP
            ...     pipe.scheduler, load_schedule("schedule.json"), budget=10
            ... )
            >>> image = pipe("a red apple", num_inference_steps=50).images[0]  # doctest: +SKIP
        """
        if not isinstance(scheduler, cls) and replaced(scheduler) is not None:
            raise UnsupportedSchedulerError(
                f"this pipeline samples with {scheduler.__class__.__name__}: give it "
                f"{EULER}.from_config(pipe.scheduler.config) first, or use meancache_runtime.attach"
            )
        config = {k: v for k, v in scheduler.config.items() if k not in OWN and k[0] != "_"}
        document = to_document(as_schedule(schedule), budget)
        return cls(meancache_schedule=document, meancache_budget=budget, **config)

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """The keys of a saved configuration: Euler's and our own."""
        euler = FlowMatchEulerDiscreteScheduler
        return {"self", *OWN, *euler._get_init_keys(euler)}

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
            StepCountError: Another number of steps than the schedule's.
            GridMismatchError: Other noise levels than the schedule allows.
        """
        self._machine = None
        custom = {} if timesteps is None else {"timesteps": timesteps}
        super().set_timesteps(num_inference_steps, device, sigmas, mu, **custom)
        every: Tensor = self.timesteps
        levels = tuple(self.sigmas.tolist())
        check_grid(self._grid, levels)
        knots = torch.tensor(self._plan.knots)
        self._machine = Table.of(bind(self._plan, levels, self._grid.displaced)).machine()
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
            raise StepCountError(
                f"this run begins at step {begin_index} of its grid (as image-to-image does), "
                "which a loop over the knots alone does not have: use meancache_runtime.attach, or "
                "strength 1"
            )
        super().set_begin_index(begin_index)

    def step(
        self, model_output: Tensor, timestep: Any, sample: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Take the step to the next knot, with û in place of the model's velocity.

        Raises:
            StepCountError: ``set_timesteps`` was not called, or steps are not taken in order.
            UnsupportedSchedulerError: Steps with a noise level for each token are asked for.
        """
        if kwargs.get("per_token_timesteps", args[5] if len(args) > 5 else None) is not None:
            raise UnsupportedSchedulerError(
                "per-token timesteps cannot follow one schedule: run this pipeline without "
                "a schedule"
            )
        machine, shape = self._machine, tuple(model_output.shape)
        if machine is None or machine.done:
            raise StepCountError(
                "no step of the plan's loop is due: call set_timesteps before a run"
            )
        if self.step_index is None:
            self._init_step_index(timestep)
        if machine.step == 0:
            self._shape = shape
        if machine.step != self.step_index or shape != self._shape:
            raise StepCountError(
                f"step {self.step_index} of the plan's loop, of shape {list(shape)}, is asked for "
                f"where step {machine.step}, of shape {list(self._shape)}, is due: take the steps "
                "of a run in order, one run at a time"
            )
        velocity = machine.advance(model_output)
        return super().step(velocity, timestep, sample, *args, **kwargs)
