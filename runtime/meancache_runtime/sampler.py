"""What a scheduler's steps are: plain Euler ones, ones that a plan can replace, or neither."""

from itertools import pairwise
from typing import Any

from .errors import UnsupportedSchedulerError

EULER = "FlowMatchEulerDiscreteScheduler"
HEUN = "FlowMatchHeunDiscreteScheduler"

MULTISTEP = (
    "UniPCMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler",
)
"""Samplers of diffusers that follow a flow where their configuration says so."""


def replaced(scheduler: Any) -> str | None:
    """The class whose steps a plan has to take in its place; None if they are plain Euler steps.

    A step is plain if it is ``z + (σ_next − σ)·velocity``. A replaceable sampler is deterministic
    and follows the same flow, dz/dσ = velocity, by other steps.

    Raises:
        UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
    """
    cls = scheduler.__class__
    euler = next((base for base in cls.__mro__ if base.__name__ == EULER), None)
    if euler is not None and cls.step is getattr(euler, "step", None):
        _check_deterministic(cls.__name__, stochastic_sampling(scheduler))
        return None
    if cls.__name__ not in (HEUN, *MULTISTEP):
        raise UnsupportedSchedulerError(
            f"{cls.__name__} takes no steps that a plan could stand for: use "
            f"pipe.scheduler = {EULER}.from_config(pipe.scheduler.config)"
        )
    config = scheduler.config
    if cls.__name__ != HEUN and not (
        getattr(config, "use_flow_sigmas", False)
        and getattr(config, "prediction_type", None) == "flow_prediction"
    ):
        raise UnsupportedSchedulerError(
            f"this {cls.__name__} does not follow a flow: it needs use_flow_sigmas=True and "
            "prediction_type='flow_prediction'"
        )
    _check_deterministic(cls.__name__, "sde" in str(getattr(config, "algorithm_type", "")))
    return cls.__name__


def stochastic_sampling(scheduler: Any) -> bool:
    """Whether the Euler scheduler draws fresh noise in every step."""
    return bool(getattr(scheduler.config, "stochastic_sampling", False))


def _check_deterministic(name: str, noisy: bool) -> None:
    if noisy:
        raise UnsupportedSchedulerError(
            f"this {name} draws fresh noise in every step, which cannot be cached: give it "
            "stochastic_sampling=False, or an algorithm_type without 'sde'"
        )


def run_sigmas(scheduler: Any) -> tuple[float, ...]:
    """The noise levels of the coming run, from its first step on, each once.

    Heun's scheduler lists a level twice where it evaluates the denoiser twice.
    """
    first = scheduler.step_index or scheduler.begin_index or 0
    levels = scheduler.sigmas[first:].tolist()
    return (*(a for a, b in pairwise(levels) if a != b), levels[-1])


def is_inner(scheduler: Any, index: int) -> bool:
    """Whether the loop's iteration ``index`` stays at its noise level: a stage inside a step."""
    return bool(scheduler.sigmas[index] == scheduler.sigmas[index + 1])
