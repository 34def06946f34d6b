"""What a scheduler's steps are: plain Euler ones, ones that a plan can replace, or neither."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import UnsupportedSchedulerError
from ...strict_json import quote

EULER = "FlowMatchEulerDiscreteScheduler"
HEUN = "FlowMatchHeunDiscreteScheduler"
UNIPC = "UniPCMultistepScheduler"
PLANNED = "MeanCacheScheduler"

MULTISTEP = (
    UNIPC,
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
)
"""Samplers of diffusers that follow a flow where their configuration says so."""

NOISY = ("Ancestral", "LCM", "SDE", "SASolver", "SCM", "TCD", "DDPM", "HeliosDMD")
"""Parts of the names of samplers that draw fresh noise in every step."""

STOPS_SHORT = ("DEISMultistepScheduler",)
"""Samplers that on a flow take no last step: their last two noise levels are the same."""


def replaced(scheduler: Any) -> str | None:
    """The class whose steps a plan has to take in its place; None if they are plain Euler steps.

    A step is plain if it is ``z + (σ_next − σ)·velocity``. A replaceable sampler is deterministic
    and follows the same flow, dz/dσ = velocity, by other steps.

    Raises:
        UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
    """
    cls = scheduler.__class__
    if cls.__name__ == PLANNED:
        raise UnsupportedSchedulerError(
            f"this {cls.__name__} follows a schedule already: {_use_euler()} before another is used"
        )
    euler = next((base for base in cls.__mro__ if base.__name__ == EULER), None)
    if euler is not None and cls.step is getattr(euler, "step", None):
        check_deterministic(scheduler)
        return None
    if cls.__name__ not in (HEUN, *MULTISTEP):
        if any(part in cls.__name__ for part in NOISY):
            raise _noisy(cls.__name__, _use_euler())
        reason = "takes steps that a plan cannot replace"
        if cls.__name__ in STOPS_SHORT:
            reason = "ends a flow before σ = 0: its last two noise levels are the same"
        raise UnsupportedSchedulerError(f"{cls.__name__} {reason}; {_use_euler()}")
    config = scheduler.config
    if cls.__name__ != HEUN and not (
        getattr(config, "use_flow_sigmas", False)
        and getattr(config, "prediction_type", None) == "flow_prediction"
    ):
        raise UnsupportedSchedulerError(
            f"this {cls.__name__} does not follow a flow: it needs use_flow_sigmas=True and "
            "prediction_type='flow_prediction'"
        )
    if "sde" in str(getattr(config, "algorithm_type", "")):
        raise _noisy(cls.__name__, "give it an algorithm_type without 'sde'")
    return cls.__name__


def check_deterministic(scheduler: Any) -> None:
    """Refuse an Euler scheduler that adds fresh noise. Raises UnsupportedSchedulerError."""
    if getattr(scheduler.config, "stochastic_sampling", False):
        raise _noisy(scheduler.__class__.__name__, "give it stochastic_sampling=False")


def _use_euler() -> str:
    return f"use pipe.scheduler = {EULER}.from_config(pipe.scheduler.config)"


def _noisy(name: str, fix: str) -> UnsupportedSchedulerError:
    return UnsupportedSchedulerError(
        f"this {name} draws fresh noise in each step, which cannot be cached: {fix}"
    )


def check_sampler(scheduler: Any, replaces: str | None) -> None:
    """Refuse a sampler that is not the one whose trajectory a schedule was made for.

    Args:
        scheduler: A pipeline's scheduler.
        replaces: The schedule's ``grid.replaces``.

    Raises:
        UnsupportedSchedulerError: Another sampler, or one that no schedule can follow.
    """
    if replaces is not None and replaces not in (HEUN, *MULTISTEP):
        raise UnsupportedSchedulerError(
            f"the schedule replaces the steps of {quote(replaces)}, which no plan can do (only "
            f"those of {', '.join((HEUN, *MULTISTEP))}): calibrate and solve again"
        )
    here = replaced(scheduler)
    if here == replaces:
        return
    if replaces is None:
        raise UnsupportedSchedulerError(
            f"the schedule was made for the plain Euler steps of {EULER}, but this pipeline "
            f"samples with {here}: {_use_euler()}, or calibrate with {here} for a schedule that "
            "replaces its steps"
        )
    raise UnsupportedSchedulerError(
        f"the schedule was made for {replaces}, whose steps it replaces, but this pipeline "
        f"samples with {scheduler.__class__.__name__}: use pipe.scheduler = "
        f"{replaces}.from_config(pipe.scheduler.config, …) as calibrated, or calibrate with "
        f"{scheduler.__class__.__name__}"
    )


def overrides(scheduler: Any, methods: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """What stands for a scheduler's methods while it is intercepted.

    A pipeline that knows Euler's scheduler by its very class (Bria) asks any other to scale its
    input, for which Euler's has no method.
    """
    if hasattr(scheduler, "scale_model_input"):
        return dict(methods)
    return {"scale_model_input": _unscaled, **methods}


def _unscaled(sample: Any, timestep: Any = None) -> Any:
    return sample


def first_index(scheduler: Any) -> int | None:
    """Where in ``scheduler.sigmas`` the coming step starts; None if its timestep will tell."""
    return scheduler.begin_index if scheduler.step_index is None else scheduler.step_index


def run_sigmas(scheduler: Any, first: int | None = None) -> tuple[float, ...]:
    """The noise levels of the coming run, from its first step on, each once.

    Heun's scheduler lists a level twice where it evaluates the denoiser twice.

    Args:
        scheduler: A scheduler whose timesteps are set.
        first: Index of the first step in ``scheduler.sigmas``; what the scheduler says (and 0
            if it does not) by default.
    """
    if first is None:
        first = first_index(scheduler) or 0
    levels: list[float] = scheduler.sigmas[first:].tolist()
    if scheduler.__class__.__name__ != HEUN:
        return tuple(levels)
    return (*(a for a, b in pairwise(levels) if a != b), levels[-1])


def is_inner(scheduler: Any, index: int) -> bool:
    """Whether the loop's iteration ``index`` stays at its noise level: a stage inside a step."""
    if scheduler.__class__.__name__ != HEUN:
        return False
    return bool(scheduler.sigmas[index] == scheduler.sigmas[index + 1])


class Stepped(NamedTuple):
    """What a replaced ``scheduler.step`` returns, with ``return_dict`` and without."""

    prev_sample: Tensor


def take(scheduler: Any, velocity: Tensor, sample: Tensor) -> Stepped:
    """Take the step in a sampler's place: ``z + (σᵢ₊₁ − σᵢ)·û``, in float32 at least.

    Args:
        scheduler: The sampler; its ``step_index`` i is known.
        velocity: û.
        sample: z, of û's shape.

    Returns:
        z at σᵢ₊₁, of the dtype that the sampler's own step gives.
    """
    i = scheduler.step_index
    wide = torch.promote_types(torch.promote_types(sample.dtype, velocity.dtype), torch.float32)
    h = scheduler.sigmas[i + 1] - scheduler.sigmas[i]
    moved = sample.to(wide) + h * velocity.to(wide)
    return Stepped(moved.to(_dtype(scheduler, velocity, sample)))


def _dtype(scheduler: Any, velocity: Tensor, sample: Tensor) -> torch.dtype:
    """What the sampler's own step returns; see the casts at the end of each ``step``."""
    name = scheduler.__class__.__name__
    if name == UNIPC:
        return sample.dtype
    if name == HEUN:
        return velocity.dtype
    return torch.promote_types(velocity.dtype, sample.dtype)


def move_on(scheduler: Any) -> None:
    """Count a step that was taken without the scheduler."""
    scheduler._step_index += 1


def find_start(scheduler: Any, timestep: Any) -> int:
    """Where the coming step starts, found by its timestep if need be, as every ``step`` does."""
    if scheduler.step_index is None:
        scheduler._init_step_index(timestep)
    return first_index(scheduler) or 0
