"""What a plug-in does for its server: checks at the start, a plan's scheduler for each request."""

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any

from ...annotations import Value
from ...errors import (
    MismatchError,
    StackedCacheError,
    UnsupportedPipelineError,
    UnsupportedSchedulerError,
)
from ...requests import compare
from ..diffusers.following import Following
from ..diffusers.sampler import EULER, replaced
from .offer import BUDGET, PLAIN, SCHEDULE, Choice, Offer
from .served_model import check_served


@dataclass(frozen=True)
class Request:
    """What a plug-in sees of a request.

    Attributes:
        extra: Its extra parameters; see :mod:`.offer`.
        warm_up: Whether the server made it itself, to warm up.
        caches: Names of what else answers some of the model's calls in it.
        stated: What :func:`meancache_runtime.requests.compare` is told: its ``height`` and
            ``width``, ``frames`` of a video, its guidance scales by the names of diffusers'
            arguments; None for what it leaves to its model.
    """

    extra: Mapping[str, Any]
    warm_up: bool = False
    caches: tuple[str, ...] = ()
    stated: Mapping[str, Value | None] = field(default_factory=dict)


class Serving:
    """An offer at work in one server."""

    def __init__(self, offer: Offer, logger: logging.Logger) -> None:
        self._offer = offer
        self._log = logger

    def start(self, scheduler: Any, source: str, revision: str | None = None) -> None:
        """Refuse a server that could not follow what it offers, before it serves.

        Args:
            scheduler: The one that its pipeline samples with; None if it has none.
            source: What its model is loaded from: a folder or a hub id.
            revision: Of a hub id.

        Raises:
            UnsupportedPipelineError: Its pipeline has no scheduler.
            UnsupportedSchedulerError: It does not take Euler's steps, or a schedule is for another
                sampler.
            ModelMismatchError: A schedule was compiled for another model.
        """
        _check_sampler(scheduler)
        for name, schedule in self._offer.schedules.items():
            if schedule.grid.replaces is not None:
                raise UnsupportedSchedulerError(
                    f"{name} takes the steps of {schedule.grid.replaces}, and this server takes "
                    f"Euler's: calibrate with {EULER}, or leave it out of {SCHEDULE}"
                )
            if schedule.model is not None and not check_served(schedule.model, source, revision):
                self._log.warning(
                    "%s: whether %s has the denoiser that the schedule was compiled for is not "
                    "known here: its configuration in diffusers' format was not found",
                    name,
                    source,
                )
        usual = self._offer.choose({})
        self._log.info(
            "plans offered: %s; requests follow %s unless they say otherwise",
            ", ".join(self._offer.schedules),
            usual or "none",
        )

    def choose(self, request: Request) -> Choice | None:
        """The plan that a request follows; None if all of its steps are taken.

        Raises:
            ScheduleError: The request's extra parameters cannot be met; see :meth:`.Offer.choose`.
            BudgetError: As well.
            StackedCacheError: Another cache is at work in it.
        """
        choice = None if request.warm_up else self._offer.choose(request.extra)
        if choice is not None and request.caches:
            raise StackedCacheError(
                f"{', '.join(request.caches)} answers some of this request's calls too, and takes "
                f"the knots of {choice} for all steps: turn it off, or say {PLAIN}"
            )
        return choice

    def tell(self, request: Request, choice: Choice | None) -> None:
        """Log what a request's user should know, and its noise levels do not show."""
        if request.warm_up:
            self._log.info("a warm-up request: it takes all of its steps, without a plan")
        elif choice is not None:
            for message in compare(request.stated, choice.schedule, choice.budget).messages:
                self._log.warning("%s: %s", choice, message)


def following(scheduler: Any, choice: Choice) -> Any:
    """A scheduler for one request: a copy of the server's own that follows a plan.

    Args:
        scheduler: A server's own Euler scheduler, which stays as it is.
        choice: The plan.

    Raises:
        UnsupportedSchedulerError: It does not take Euler's steps.
    """
    _check_sampler(scheduler)
    made = deepcopy(scheduler)
    made.__class__ = _following(scheduler.__class__)
    made.choice = choice
    made.follow(choice.schedule, choice.budget)
    return made


@lru_cache
def _following(cls: type) -> type:
    """A class derived from a server's own, so that all else that the server knows of it holds.

    It bears another name: SGLang takes the steps of schedulers of Euler's very name by itself, in
    packed batches, where no plan could be followed.
    """
    own: Any = cls
    bearing: Any = wraps

    class Planned(Following, own):
        choice: Choice

        @bearing(own.set_timesteps)
        def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
            try:
                super().set_timesteps(*args, **kwargs)
            except MismatchError as error:
                raise type(error)(f"{self.choice}: {error}; or say {PLAIN}") from None

        @bearing(own.step)  # servers pass on what they find in its signature
        def step(self, *args: Any, **kwargs: Any) -> Any:
            return super().step(*args, **kwargs)

    Planned.__name__ = Planned.__qualname__ = f"Planned{cls.__name__}"
    return Planned


def _check_sampler(scheduler: Any) -> None:
    if scheduler is None:
        raise UnsupportedPipelineError(
            f"this server's pipeline shows no scheduler that a plan could stand in for: unset "
            f"{SCHEDULE} and {BUDGET}, or use the schedule in diffusers"
        )
    try:
        plain = replaced(scheduler) is None
    except UnsupportedSchedulerError:
        plain = False
    if not plain:
        raise UnsupportedSchedulerError(
            f"this server samples with {scheduler.__class__.__name__}, and plans are followed here "
            f"in Euler's steps alone ({EULER}): unset {SCHEDULE} and {BUDGET}, or use the schedule "
            "in diffusers"
        )
