"""What SeaCache must be told where a pipeline does not: the step, its noise level, the latents."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime.hosts.diffusers.identity import denoisers
from meancache_runtime.hosts.diffusers.intercept import unwrap

TOLD = ("Wan", "Cosmos3")
"""How the classes of denoisers begin whose latents SeaCache finds itself."""

Latents = Callable[[torch.nn.Module, tuple[Any, ...], dict[str, Any]], list[Tensor]]
"""From a denoiser's call to its samples' latents, each [C, F, height, width]."""


def callback(pipeline: Pipeline) -> Latents | None:
    """How SeaCache finds the latents in a call; None where it knows."""
    names = [type(unwrap(module)).__name__ for module in denoisers(pipeline.pipe).values()]
    return None if all(name.startswith(TOLD) for name in names) else latents


@contextmanager
def told(pipeline: Pipeline) -> Generator[None]:
    """Let each ``cache_context`` of a denoiser say at which step and noise level the loop is."""
    with ExitStack() as stack:
        for module in denoisers(pipeline.pipe).values():
            stack.enter_context(_telling(module, pipeline.pipe))
        yield


@contextmanager
def _telling(module: Any, pipe: Any) -> Generator[None]:
    original = module.cache_context

    def cache_context(name: str, **known: Any) -> AbstractContextManager[None]:
        scheduler = pipe.scheduler
        step = scheduler.step_index or 0  # None before the first step
        where = {
            "step_index": step,
            "sigma": float(scheduler.sigmas[step]),
            "num_inference_steps": len(scheduler.sigmas) - 1,
        }
        return original(name, **(where | known))

    vars(module)["cache_context"] = cache_context
    try:
        yield
    finally:
        del vars(module)["cache_context"]


def latents(
    _module: torch.nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Tensor]:
    """Samples [C, F, height, width] of a call.

    Known are [B, C, F, height, width], [B, C, height, width], and tokens [B, L, 4·C], one of each
    2 × 2 positions, which lie where ``img_ids`` (Flux) or ``img_shapes`` (Qwen-Image) say.

    Raises:
        ValueError: The latents are laid out otherwise.
    """
    states = kwargs.get("hidden_states")
    if isinstance(states, Tensor) and states.ndim == 5:
        return list(states.unbind())
    if isinstance(states, Tensor) and states.ndim == 4:
        return list(states.unsqueeze(2).unbind())
    rows, columns = _sides(kwargs)
    if not isinstance(states, Tensor) or states.shape[1:2] != (rows * columns,):
        raise ValueError("how this denoiser's latents are laid out is not known here")
    patches = states.unflatten(2, (-1, 2, 2)).unflatten(1, (rows, columns))
    pictures = patches.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
    return list(pictures.unsqueeze(2).unbind())


def _sides(kwargs: dict[str, Any]) -> tuple[int, int]:
    """Rows and columns of tokens; 0 if they are not known."""
    places, shapes = kwargs.get("img_ids"), kwargs.get("img_shapes")
    if isinstance(places, Tensor):
        return int(places[..., 1].max()) + 1, int(places[..., 2].max()) + 1
    if shapes:
        _, rows, columns = shapes[0][0]
        return rows, columns
    return 0, 0
