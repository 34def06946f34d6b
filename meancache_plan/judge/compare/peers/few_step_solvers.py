"""Few-step solvers of diffusers, on the very noise levels that the pipeline has for so few steps.

``set_timesteps`` of a guest scheduler is told what its pipeline tells its own, and takes the
levels from there: shift, dynamic shift and stretching are right by construction. Timesteps stay
what they are (diffusers' multistep solvers cut them to whole numbers, which conditions the model
on other levels than it is at, and costs them accuracy on a flow).
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_heun_discrete import (
    FlowMatchHeunDiscreteScheduler,
)
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from meancache_plan.core.grid import parted
from meancache_plan.errors import InputError
from meancache_plan.judge.contender import Contender, UnavailableError, reason_of, unavailable
from meancache_plan.source.diffusers import call_arguments
from meancache_plan.source.diffusers import recording as steps
from meancache_plan.source.diffusers.interception import Answers
from meancache_plan.source.diffusers.pipeline import Pipeline

BELOW_ONE = 1e-6
"""Multistep solvers take logarithms of 1 − σ: their first level is this much below 1."""

FLOW: dict[str, Any] = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}

Build = Callable[[Sequence[float]], Any]
"""Noise levels σ₀ … σ_T → a scheduler that takes steps on them."""


def heun(sigmas: Sequence[float]) -> Any:
    """Heun's method: two denoiser calls a step, one in the last."""
    levels = torch.tensor([*_twice(sigmas[:-1]), sigmas[-1]], dtype=torch.float32)
    return _guest(FlowMatchHeunDiscreteScheduler(), levels, len(sigmas) - 1)


def dpm(sigmas: Sequence[float]) -> Any:
    """DPM-Solver++ (2M)."""
    return _guest(DPMSolverMultistepScheduler(**FLOW), _below_one(sigmas), len(sigmas) - 1)


def unipc(sigmas: Sequence[float]) -> Any:
    """UniPC of order 2."""
    return _guest(UniPCMultistepScheduler(**FLOW), _below_one(sigmas), len(sigmas) - 1)


SOLVERS: dict[str, Build] = {"Heun": heun, "DPM-Solver++": dpm, "UniPC": unipc}


def solvers(pipeline: Pipeline, prompt: str, costs: Sequence[int]) -> list[Contender]:
    """Every solver with so many steps that it costs no more than so many refreshes.

    Args:
        pipeline: Asked for its noise levels, in runs that leave its denoiser out.
        prompt: For these runs.
        costs: Refreshes, distinct. A step costs one; of Heun's method two, but for the last.
    """
    grids: dict[int, Sequence[float] | Exception] = {}

    def peer(name: str, build: Build, n: int) -> Contender:
        if n not in grids:
            grids[n] = _grid(pipeline, prompt, n)
        grid, setting = grids[n], f"{n} steps"
        if isinstance(grid, Exception):
            return Contender(name, setting, n, unavailable(reason_of(grid)))
        return Contender(name, setting, n, _enter(build, grid))

    return [
        peer(name, build, n)
        for name, build in SOLVERS.items()
        for n in (dict.fromkeys((c + 1) // 2 for c in costs) if name == "Heun" else costs)
    ]


def flow(pipeline: Pipeline, prompt: str, steps: int) -> Contender | None:
    """UniPC with so many steps: where the flow itself leads; None if it cannot run."""
    grid = _grid(pipeline, prompt, steps)
    if isinstance(grid, Exception):
        return None
    return Contender("flow", f"UniPC, {steps} steps", steps, _enter(unipc, grid))


def _grid(pipeline: Pipeline, prompt: str, n: int) -> Sequence[float] | Exception:
    """The pipeline's noise levels for so many steps, or why it has none to give."""

    def plain() -> Any:
        return pipeline.run(prompt, 0, steps=n, output_type="latent")

    try:
        if call_arguments.takes_strength(pipeline.pipe):
            raise UnavailableError("this pipeline starts partway down its noise levels")
        found, _ = parted(steps.probe(pipeline.pipe, Answers(), plain).sigmas)
        if len(found) != n + 1:
            raise UnavailableError(f"the pipeline makes {len(found) - 1} steps of {n}")
        if found[-1] != 0:
            raise UnavailableError("the pipeline's noise levels do not end at 0")
    except Exception as error:  # a row says so
        return error
    return found


def _enter(build: Build, sigmas: Sequence[float]) -> Any:
    @contextmanager
    def enter(pipeline: Pipeline) -> Generator[None]:
        own = vars(pipeline.pipe)["scheduler"]
        scheduler = build(sigmas)
        scheduler.use_number_of(own)
        vars(pipeline.pipe)["scheduler"] = scheduler
        try:
            yield
        finally:
            vars(pipeline.pipe)["scheduler"] = own

    return enter


def _guest(scheduler: Any, levels: torch.Tensor, steps: int) -> Any:
    """Let a scheduler take its steps on these levels, whatever its pipeline asks for.

    Args:
        scheduler: A fresh one.
        levels: As the scheduler lists them: the first of each step, then where the last leads.
        steps: What the pipeline has to ask for.
    """
    cls: type[Any] = type(scheduler)
    numbers = [1000.0]

    class Guest(cls):  # type: ignore[misc]
        def use_number_of(self, own: Any) -> None:
            numbers[0] = float(getattr(own.config, "num_train_timesteps", 1000))

        def set_timesteps(
            self,
            num_inference_steps: int | None = None,
            device: Any = None,
            sigmas: Any = None,
            mu: float | None = None,
            timesteps: Any = None,
        ) -> None:
            asked = num_inference_steps or len(sigmas if sigmas is not None else timesteps)
            if asked != steps:
                raise InputError(f"the pipeline asks for {asked} steps in place of {steps}")
            super().set_timesteps(steps, device=device)
            self.sigmas = levels.clone()
            self.timesteps = (levels[:-1] * numbers[0]).to(device=device)

    Guest.__name__ = cls.__name__
    scheduler.__class__ = Guest
    return scheduler


def _twice(sigmas: Sequence[float]) -> list[float]:
    """The first level once, each other one twice, as Heun's scheduler lists them."""
    return [sigmas[0], *np.repeat(np.array(sigmas[1:]), 2).tolist()]


def _below_one(sigmas: Sequence[float]) -> torch.Tensor:
    return torch.tensor([min(sigmas[0], 1 - BELOW_ONE), *sigmas[1:]], dtype=torch.float32)
