"""One diffusers pipeline, tiny and with random weights, as the conformance tests want it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """A pipeline that schedules work in.

    Attributes:
        name: Row name: the pipeline's class, and what is special, such as ``"WanPipeline, 2.2"``.
        build: Makes the pipeline on the CPU: diffusers' own classes and scheduler, random weights
            from a fixed seed, float32, eval mode, progress bar off, no downloads.
        call: steps → keyword arguments of one run, all but ``generator``, ``num_inference_steps``
            included; ends in latents (``output_type="latent"``) where the pipeline can.
        family: The models that it stands for, for the table of families.
        branches: Denoiser calls a refresh: 2 with guidance by two calls.
        sampler: The scheduler's class, for the table.
        steps: Sampler steps of the tests' runs.
        budgets: Plans of the tests; fewer than ``steps``.
        note: What a user of the table should know; empty if nothing.
        remembers: Whether the guidance keeps a memory of the denoiser's earlier outputs, which at
            cached steps sees those of the last refresh again.
        since: The first release of diffusers that the row is true of, if its class is older.
    """

    name: str
    build: Callable[[], Any]
    call: Callable[[int], dict[str, Any]]
    family: str
    branches: int = 1
    sampler: str = "FlowMatchEulerDiscreteScheduler"
    steps: int = 8
    budgets: tuple[int, ...] = (3, 5)
    note: str = ""
    remembers: bool = False
    since: str = ""

    def brief(self) -> Self:
        """The same case in runs of 4 steps: for what shares its kind of loop with longer tests."""
        return self.variant(steps=4, budgets=(2, 3))

    def variant(self, **changes: Any) -> Self:
        """The same case with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Refusal:
    """A pipeline that no schedule can be attached to, or run with.

    Attributes:
        name: Row name.
        build: As in :class:`Case`.
        call: As in :class:`Case`.
        family: As in :class:`Case`.
        error: Name of the error's class.
        match: Regular expression that its message matches.
        reason: The table's words.
        steps: Sampler steps.
        replaces: The sampler that the schedule takes the place of; None for Euler's own steps.
        since: As in :class:`Case`.
    """

    name: str
    build: Callable[[], Any]
    call: Callable[[int], dict[str, Any]]
    family: str
    error: str
    match: str
    reason: str
    steps: int = 8
    replaces: str | None = None
    since: str = ""


def run(pipe: Any, options: dict[str, Any], seed: int = 0) -> tuple[Tensor, ...]:
    """Call the pipeline with a seed, for torch's global generator as well (some VAEs use it).

    Returns every tensor of its output, detached.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.no_grad():
        output = seeded(lambda: pipe(**options, generator=generator), seed)
    if isinstance(output, Tensor):
        return (output.detach().clone(),)
    values = output.values() if hasattr(output, "values") else output
    return tuple(t for value in values for t in _tensors(value))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value.detach().clone()]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """Run ``build`` with torch's global random state set, and put it back."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()
