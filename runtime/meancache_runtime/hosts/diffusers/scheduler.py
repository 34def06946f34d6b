"""A plan as the scheduler of a pipeline: its loop runs once a refresh, and nothing is intercepted.

:func:`meancache_runtime.attach` lets a pipeline take all T steps and answers its denoiser between
knots. Here the pipeline sees the knots alone, so that whatever cannot be intercepted works as well:
modular pipelines, sharded and compiled models, servers.
"""

import json
from typing import Any

from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

# Where a saved pipeline is loaded, this base is looked for beside the class: it says how.
from diffusers.schedulers.scheduling_utils import SchedulerMixin as SchedulerMixin

from ...errors import ScheduleError, UnsupportedSchedulerError
from ...innovation import OnUnstable
from ...schedule import Replayable, Schedule, as_schedule, parse_schedule, to_document
from ...strict_json import shorten
from .following import Following
from .sampler import EULER, check_deterministic, replaced

OWN = ("meancache_schedule", "meancache_budget", "meancache_on_unstable", "meancache_strict")
"""What its configuration holds beside that of Euler's scheduler."""


class MeanCacheScheduler(Following, FlowMatchEulerDiscreteScheduler):
    """Euler's scheduler on T steps, of which it shows a pipeline the plan's knots alone.

    Make one with :meth:`from_schedule`. ``save_pretrained`` keeps the schedule's plan in the
    scheduler's configuration. The pipeline's call stays as it was, with ``num_inference_steps`` T;
    its loop runs once a knot. What model and adapters the pipeline has cannot be seen from here:
    :func:`meancache_runtime.attach` compares them with the schedule's.

    Args:
        meancache_schedule: A schedule file's content, as JSON values.
        meancache_budget: One of its budgets.
        meancache_on_unstable: What happens where a sample moves otherwise than the calibration
            samples did: see :meth:`from_schedule`.
        meancache_strict: Whether to refuse what is otherwise a warning: likewise.
        euler: The configuration of :class:`diffusers.FlowMatchEulerDiscreteScheduler`.

    Raises:
        ScheduleError: The schedule is not valid, or there is none.
        BudgetError: The schedule has no plan for this budget.
        UnsupportedSchedulerError: The schedule was made for another sampler than Euler's, or the
            configuration asks for fresh noise in each step, or has settings that Euler's has not.
    """

    def __init__(
        self,
        meancache_schedule: dict[str, Any] | None = None,
        meancache_budget: int | None = None,
        meancache_on_unstable: OnUnstable = "warn",
        meancache_strict: bool = False,
        **euler: Any,
    ) -> None:
        if not isinstance(meancache_schedule, dict) or meancache_budget is None:
            raise ScheduleError(
                f"this configuration of a {type(self).__name__} holds no plan: make one with "
                f"{type(self).__name__}.from_schedule(pipe.scheduler, load_schedule(…), budget=…)"
            )
        for name in euler.keys() - self._get_init_keys(type(self)):
            raise UnsupportedSchedulerError(
                f"{type(self).__name__} has no setting {shorten(name)}: leave it out, or give one "
                f"of {EULER}"
            )
        super().__init__(**euler)
        check_deterministic(self)
        schedule = parse_schedule(_encoded(meancache_schedule))
        self.register_to_config(
            meancache_schedule=meancache_schedule,
            meancache_budget=meancache_budget,
            meancache_on_unstable=meancache_on_unstable,
            meancache_strict=meancache_strict,
        )
        self.follow(schedule, meancache_budget, meancache_on_unstable, meancache_strict)

    @classmethod
    def from_schedule(
        cls,
        scheduler: Any,
        schedule: Schedule | Replayable,
        *,
        budget: int,
        on_unstable: OnUnstable = "warn",
        strict: bool = False,
    ) -> "MeanCacheScheduler":
        """The scheduler that follows a schedule's plan on the grid of ``scheduler``.

        Args:
            scheduler: A pipeline's own: a :class:`diffusers.FlowMatchEulerDiscreteScheduler`.
            schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
            budget: One of ``schedule.budgets``.
            on_unstable: What happens where a sample moves otherwise than the calibration samples
                did: ``"warn"`` warns once, ``"raise"`` ends the run with UnstableError,
                ``"ignore"`` does not look.
            strict: Refuse what is otherwise a warning: latents of another size, half precision
                where another dtype was calibrated, a run that begins from a picture. Guidance,
                prompts, adapters and the model are not seen from here, and not refused.

        Raises:
            RequestMismatchError: To be strict, and the schedule does not say what was calibrated.
            ReplayError: ``on_unstable`` is ``"refresh"`` (use :func:`meancache_runtime.attach`), or
                unknown, or is to act and the plan has no bounds.
            BudgetError: The schedule has no plan for this budget.
            UnsupportedSchedulerError: ``scheduler`` takes other steps than Euler's, or the schedule
                was made for another sampler.

        Example:
            >>> pipe.scheduler = MeanCacheScheduler.from_schedule(  # doctest: +SKIP
            ...     pipe.scheduler, load_schedule("schedule.json"), budget=10
            ... )
            >>> image = pipe("a red apple", num_inference_steps=50).images[0]  # doctest: +SKIP
        """
        if not issubclass(scheduler.__class__, SchedulerMixin):
            raise UnsupportedSchedulerError(
                f"{cls.__name__} is made from a scheduler, not from "
                f"{getattr(scheduler, '__name__', type(scheduler).__name__)}: give pipe.scheduler, "
                f"or {EULER}()"
            )
        if not isinstance(scheduler, cls) and (
            replaced(scheduler) is not None or scheduler.__class__.__name__ != EULER
        ):
            raise UnsupportedSchedulerError(
                f"this pipeline samples with {scheduler.__class__.__name__}: give it "
                f"{EULER}.from_config(pipe.scheduler.config) first, or use meancache_runtime.attach"
            )
        config = {k: v for k, v in scheduler.config.items() if k not in OWN and k[0] != "_"}
        document = to_document(as_schedule(schedule), budget)
        return cls(document, int(budget), on_unstable, strict, **config)

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """The keys of a saved configuration: Euler's and our own."""
        euler = FlowMatchEulerDiscreteScheduler
        return {"self", *OWN, *euler._get_init_keys(euler)}


def _encoded(content: dict[str, Any]) -> bytes:
    try:
        return json.dumps(content).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ScheduleError(
            f"meancache_schedule holds what no JSON file can ({error}): give the content of a "
            "schedule file"
        ) from error
