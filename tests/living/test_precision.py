"""Half precision: velocities are kept and combined in float32, and rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from meancache_runtime import attach
from meancache_runtime.predictors import Released
from tests.families.case import Case, run
from tests.living.two_pipelines import every_pipeline
from tests.plans import KNOTS, STEPS
from tests.runtime import by_hand

SPANS = (1, 2, 2, 3)
"""K of each interval; the rule of the released scripts takes a knot's own step with its v."""

SCHEDULE = by_hand.schedule(STEPS, KNOTS, [Released(span) for span in SPANS])
PREDICTED = [i for i in range(STEPS) if i not in KNOTS]
"""Steps that are taken with a predicted velocity."""

every_dtype = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


class Log:
    """Latents z and velocities of every Euler step, as the scheduler itself gets them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.z: list[Tensor] = []
        self.v: list[Tensor] = []
        self.sigmas: list[float] = []
        step = FlowMatchEulerDiscreteScheduler.step

        def observe(scheduler: Any, velocity: Tensor, t: Any, sample: Tensor, **rest: Any) -> Any:
            self.z.append(sample.clone())
            self.v.append(velocity.clone())
            self.sigmas = scheduler.sigmas.tolist()
            return step(scheduler, velocity, t, sample, **rest)

        patch.setattr(FlowMatchEulerDiscreteScheduler, "step", observe)


def halved(case: Case, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """The pipeline and the arguments of a run, in half precision."""
    options = case.call(STEPS)
    tensors = {k: v.to(dtype) for k, v in options.items() if _is_floating(v)}
    return case.build().to(dtype), options | tensors


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def released_in(dtype: torch.dtype, log: Log, i: int) -> Tensor:
    """û of step i by the released scripts' formula, on logs and with arithmetic in ``dtype``."""
    span = next(k for knot, k in zip(KNOTS[::-1], SPANS[::-1], strict=True) if knot <= i)
    z, v = [t.to(dtype) for t in log.z], [t.to(dtype) for t in log.v]
    back, here, there = log.sigmas[i - span], log.sigmas[i], log.sigmas[i + 1]
    average = (z[i] - z[i - span]) / (here - back)
    slope = (v[i - span] - average) / (here - back)
    return v[i - 1] - slope * (there - here)


def errors(found: Sequence[Tensor], truth: Sequence[Tensor]) -> list[float]:
    return [float((a.double() - b).norm() / b.norm()) for a, b in zip(found, truth, strict=True)]


@every_dtype
@every_pipeline
def test_every_velocity_is_the_exact_combination_rounded_once(
    case: Case, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, options = halved(case, dtype)
    log = Log(monkeypatch)
    with attach(pipe, SCHEDULE):
        (latents,) = run(pipe, options)
    assert latents.dtype == dtype
    exact = by_hand.answers(SCHEDULE.plans[0], log.sigmas, [log.v[knot] for knot in KNOTS])
    half_a_unit = torch.finfo(dtype).eps / 2
    for received, answer in zip(log.v, exact, strict=True):
        assert received.dtype == dtype
        error = (received.double() - answer).abs()
        smallest = torch.finfo(dtype).smallest_normal
        assert (error <= 1.001 * half_a_unit * answer.abs() + half_a_unit * smallest).all()


@every_dtype
@every_pipeline
def test_history_in_half_precision_would_be_farther_from_the_exact_velocities(
    case: Case, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, options = halved(case, dtype)
    log = Log(monkeypatch)
    with attach(pipe, SCHEDULE):
        run(pipe, options)
    exact = by_hand.answers(SCHEDULE.plans[0], log.sigmas, [log.v[knot] for knot in KNOTS])
    truth = [exact[i] for i in PREDICTED]
    kept_in_half = errors([released_in(dtype, log, i) for i in PREDICTED], truth)
    replayed = errors([log.v[i] for i in PREDICTED], truth)
    assert max(kept_in_half) > 5 * max(replayed)
    assert all(half > ours for half, ours in zip(kept_in_half, replayed, strict=True))
