"""Requests unlike the calibrated one, for :mod:`benchmarks.stability`."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from meancache_plan.source.diffusers.call_arguments import arguments
from meancache_plan.source.recipe import Recipe

FAR = ("qwxz vvkj", "the sea in winter, photographed at night", "0 1 2 3 4 5 6 7", "!!!")
"""Prompts unlike any that the reference pipeline was trained on."""


@contextmanager
def as_it_is(_pipe: Any) -> Generator[None]:
    """Change nothing."""
    yield


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of request.

    Attributes:
        name: What differs from the calibrated one.
        call: Arguments in place of the recipe's.
        prompts: In place of the held-out ones.
        noise: What the initial noise is multiplied with.
        change: Puts the pipeline into another state.
    """

    name: str
    call: dict[str, Any] = field(default_factory=dict[str, Any])
    prompts: tuple[str, ...] = ()
    noise: float = 1.0
    change: Callable[[Any], Any] = as_it_is


def guidance_ends(step: int) -> Callable[[Any], Any]:
    """True CFG without effect from a step on, while the denoiser is called as often as before."""

    @contextmanager
    def change(pipe: Any) -> Generator[None]:
        seen: list[tuple[Tensor, ...]] = []

        def forward(_module: Any, _arguments: Any, keywords: dict[str, Any], output: Any) -> Any:
            late = float(keywords["timestep"].flatten()[0]) < float(pipe.scheduler.sigmas[step])
            if len(seen) % 2 and late:
                output = seen[-1]
            seen.append(output)
            return output

        hook = pipe.transformer.register_forward_hook(forward, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    return change


def weights_moved(by: float, rank: int | None = None) -> Callable[[Any], Any]:
    """Other weights: each matrix moved by so much of its own size.

    Args:
        by: Standard deviation of the change, as a share of the matrix's own.
        rank: Of the change, as a fused LoRA has it; None is full, as a fine-tune has it.
    """

    def change_of(weights: Tensor, generator: torch.Generator) -> Tensor:
        if rank is None:
            return torch.randn(weights.shape, generator=generator)
        down = torch.randn(rank, weights[0].numel(), generator=generator)
        up = torch.randn(len(weights), rank, generator=generator) / rank**0.5
        return (up @ down).view_as(weights)

    @contextmanager
    def change(pipe: Any) -> Generator[None]:
        generator = torch.Generator().manual_seed(0)
        before = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
        with torch.no_grad():
            for weights in pipe.transformer.parameters():
                if weights.ndim > 1:
                    weights += by * weights.std() * change_of(weights, generator)
        try:
            yield
        finally:
            pipe.transformer.load_state_dict(before)

    return change


def cases(recipe: Recipe) -> list[Case]:
    """All that differ from the calibrated request."""
    name, size = recipe.guidance_argument, 3 * arguments(recipe)["height"] // 2
    return [
        *(Case(f"{name} {value:g}", {name: value}) for value in (1.0, 4.0, 7.5)),
        *(
            Case(f"guidance without effect from step {step}", change=guidance_ends(step))
            for step in (20, 40)
        ),
        Case(f"{size} × {size} pixels", {"height": size, "width": size}),
        *(Case(f"noise × {by:g}", noise=by) for by in (0.8, 1.2)),
        *(Case(f"weights moved by {by:.0%}", change=weights_moved(by)) for by in (0.1, 0.3)),
        *(Case(f"fused LoRA of {by:.0%}", change=weights_moved(by, 4)) for by in (0.1, 0.3)),
        Case("prompts of another kind", prompts=FAR),
    ]
