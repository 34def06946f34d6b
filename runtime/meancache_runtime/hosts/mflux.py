"""mflux (as of 0.24.0): a plan as a scheduler that is named by its dotted path.

mflux makes a scheduler from a request alone, and its loop takes as many steps as the request says.
So a request's steps are the plan's budget, and the environment names the schedule.
"""

import os
from types import SimpleNamespace
from typing import Any

from mflux.models.common.schedulers.linear_scheduler import LinearScheduler

from ..arrays import Array, elements, like, widened
from ..binding import bind_schedule
from ..errors import ScheduleNotFoundError, StepCountError
from ..requests import warn_of
from ..schedule import load_schedule
from ..table import Table
from .servers.offer import SCHEDULE


class MeanCacheScheduler(LinearScheduler):
    """mflux's noise levels of all T steps, at the knots of a plan alone; its bounds are ignored.

    Raises (ScheduleError and GridMismatchError as well):
        ScheduleNotFoundError: The environment names no schedule, or it is not there.
        StepCountError: The request's steps are none of its budgets, or begin in mid-grid.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if not os.environ.get(SCHEDULE):
            raise ScheduleNotFoundError(f"no schedule is named: set {SCHEDULE} to its path")
        schedule, budget = load_schedule(os.environ[SCHEDULE]), config.num_inference_steps
        if budget not in schedule.budgets or config.init_time_step:
            raise StepCountError(
                f"{budget} steps from step {config.init_time_step} on: the schedule was made for "
                f"{schedule.grid.steps} from step 0 on, and here a request's steps say how often "
                f"the model runs in them: ask for {', '.join(map(str, schedule.budgets))} steps, "
                "and for no image strength"
            )
        self._request = schedule, budget
        whole = SimpleNamespace(
            model_config=config.model_config,
            num_inference_steps=schedule.grid.steps,
            width=config.width,
            height=config.height,
        )
        every = LinearScheduler(whole).sigmas
        self._table = Table.of(bind_schedule(schedule, budget, every.tolist()))
        self._machine = self._table.machine("ignore")
        self._sigmas = every[[*self._table.knots, schedule.grid.steps]]

    def step(self, noise: Array, timestep: int, latents: Array, **kwargs: Any) -> Array:
        """To the next knot; NonFiniteError, or StepCountError if it is not the one that is due."""
        if timestep == 0:
            warn_of({"elements": elements(latents)}, *self._request)
            self._machine.reset()
        if timestep != self._machine.step:
            raise StepCountError(f"step {timestep} is asked for, where {self._machine.step} is due")
        h = self._table.sigmas[timestep + 1] - self._table.sigmas[timestep]
        return like(widened(latents) + self._machine.advance(widened(noise)) * h, latents)
