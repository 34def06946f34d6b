"""A plan followed by hand in any pipeline: the denoiser runs at every step, few outputs count."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from torch import Tensor

from meancache_runtime.hosts.diffusers.identity import denoisers
from meancache_runtime.schedule import Plan
from tests.runtime.by_hand import answers


def distinct(levels: list[float]) -> list[float]:
    """The noise levels without repetitions."""
    return [a for a, b in zip(levels, [*levels[1:], None], strict=True) if a != b]


@contextmanager
def followed_by_hand(cls: type, plan: Plan, displaced: bool = False) -> Any:
    """Every scheduler of ``cls`` takes Euler steps with û, from the velocities at knots alone.

    The plan is for the run's own noise levels, from its first step on; ``displaced``: plans aim at
    the flow, as the schedule's grid says. Each object, and each copy of one, keeps a log of its
    own. Written from the format's specification, without a line of the runtime.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, "step", _step(plan, displaced))
        yield


@contextmanager
def repeating(pipe: Any, plan: Plan) -> Any:
    """Within, a denoiser gives at a cached step what it gave at the last knot.

    For guidance with a memory, which is fed at every step.
    """
    kept: dict[tuple[str, int], Any] = {}
    calls: list[int] = []

    def answer(name: str, _module: Any, _inputs: Any, output: Any) -> Any:
        index = pipe.scheduler.step_index or 0
        number = len(distinct(pipe.scheduler.sigmas[: index + 1].tolist())) - 1
        if number not in calls:
            calls.clear()
        calls.append(number)
        if number in plan.knots:
            kept[name, len(calls)] = output
        return kept[name, len(calls)]

    handles = [
        module.register_forward_hook(partial(answer, name))
        for name, module in denoisers(pipe).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _step(plan: Plan, displaced: bool) -> Callable[..., Any]:
    def step(
        self: Any, model_output: Tensor, timestep: Any, sample: Tensor, *_: Any, **options: Any
    ) -> Any:
        if self.step_index is None:
            self._init_step_index(timestep)
            self.__dict__ |= {"fresh_by_hand": [], "first_by_hand": self.step_index}
        index, first = self.step_index, self.__dict__["first_by_hand"]
        log: list[Tensor] = self.__dict__["fresh_by_hand"]
        here, there = float(self.sigmas[index]), float(self.sigmas[index + 1])
        result = sample
        if here != there:
            sigmas = distinct(self.sigmas[first:].tolist())
            number = len(distinct(self.sigmas[first : index + 1].tolist())) - 1
            if number in plan.knots:
                log.append(model_output.detach().clone())
            result = _moved(plan, sigmas, number, log, sample, displaced)
        self._step_index += 1
        if options.get("return_dict", True):
            return _Output(result)
        return (result.to(model_output.dtype),)

    return step


class _Output(dict[str, Tensor]):
    def __init__(self, latents: Tensor) -> None:
        super().__init__(prev_sample=latents)
        self.prev_sample = latents

    def __getitem__(self, key: Any) -> Any:
        return self.prev_sample if key == 0 else super().__getitem__(key)


def _moved(
    plan: Plan,
    sigmas: list[float],
    number: int,
    log: list[Tensor],
    sample: Tensor,
    displaced: bool,
) -> Tensor:
    past = Plan(len(log), plan.knots[: len(log)], plan.intervals[: len(log)])
    end = next((k for k in plan.knots if k > number), len(sigmas) - 1)
    velocity = answers(past, sigmas[: end + 1], log, displaced)[number]
    moved = sample.double() + (sigmas[number + 1] - sigmas[number]) * velocity
    return moved.to(sample.dtype)
