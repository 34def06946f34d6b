"""Samples that plans are replayed on, and how a plain sampler of few steps would make them.

Textbook Adams–Bashforth takes ``û = v_t + (h/2)·(v_t − v_r)/(σ_t − σ_r)``, h = σ_s − σ_t, r the
step before, on a plain grid of few steps; the first step is Euler's.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.digits import DigitSource
from meancache_plan.core.trajectory import Velocity, record_flow
from meancache_plan.files.journal import Journal
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.protocols import Ensemble
from meancache_runtime import Schedule, integrate
from meancache_runtime.hosts.diffusers import identity
from meancache_runtime.hosts.diffusers.intercept import Interception


class Samples(Ensemble, Protocol):
    """An ensemble that counts what it costs, and knows the textbook's steps."""

    @property
    def refreshes(self) -> int:
        """Denoiser refreshes of single samples so far."""
        ...

    def textbook(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of so few steps of textbook Adams–Bashforth."""
        ...

    def field(self, rows: Sequence[int]) -> Velocity:
        """The guided velocity of these samples, which can be differentiated."""
        ...


class Multistep:
    """Remembers one velocity; ``average`` is asked once a step."""

    def __init__(self) -> None:
        self._before: tuple[float, Tensor] | None = None

    def average(self, velocity: Tensor, sigma: float, following: float) -> Tensor:
        """û of the step σ → following."""
        before, self._before = self._before, (sigma, velocity.clone())
        if before is None:
            return velocity
        slope = (velocity - before[1]) / (sigma - before[0])
        return velocity + (following - sigma) / 2 * slope


def euler(velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Final latents of plain Euler steps."""
    latents = noise
    for sigma, following in pairwise(sigmas):
        latents = latents + (following - sigma) * velocity(latents, sigma)
    return latents


def adams_bashforth(velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Final latents of textbook Adams–Bashforth steps."""
    latents, method = noise, Multistep()
    for sigma, following in pairwise(sigmas):
        fresh = velocity(latents, sigma)
        latents = latents + (following - sigma) * method.average(fresh, sigma, following)
    return latents


class DigitSamples:
    """Of the closed-form flow: one sample a prompt."""

    def __init__(self, source: DigitSource, prompts: Sequence[str], seed: int) -> None:
        draws = [source.draw(prompt, seed) for prompt in prompts]
        self._source = source
        self._classes = torch.cat([draw.label for draw in draws])
        self._noise = torch.cat([draw.noise for draw in draws])
        self.sigmas = source.grid(source.steps)
        self.prompt_index: NDArray[np.int64] = np.arange(len(prompts))
        velocity = source.flow.velocity(self._classes)
        self._full = record_flow(velocity, self._noise, self.sigmas).latents

    @property
    def refreshes(self) -> int:
        """Denoiser refreshes of single samples so far."""
        return self._source.flow.refreshes

    def full(self, rows: Sequence[int], step: int) -> Tensor:
        """Latents z_step of the full trajectories."""
        return self._full[step, list(rows)]

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        """Guided velocities at ``step`` from any latents."""
        return self.field(rows)(latents, self.sigmas[step])

    def replay(self, rows: Sequence[int], schedule: Schedule, budget: int) -> Tensor:
        """Final latents of a plan."""
        noise = self._noise[list(rows)]
        return integrate(
            self.field(rows),
            noise,
            schedule,
            budget=budget,
            sigmas=self.sigmas,
            on_unstable="ignore",
        )

    def plain(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of a plain Euler run of so few steps."""
        return euler(self.field(rows), self._noise[list(rows)], self._source.grid(steps))

    def textbook(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of so few steps of textbook Adams–Bashforth."""
        return adams_bashforth(self.field(rows), self._noise[list(rows)], self._source.grid(steps))

    def field(self, rows: Sequence[int]) -> Velocity:
        """The guided velocity of these samples, which can be differentiated."""
        return self._source.flow.velocity(self._classes[list(rows)])


class PipelineSamples(PipelineEnsemble):
    """A pipeline's ensemble that counts refreshes and knows the textbook's steps.

    Args:
        pipeline: The pipeline, not attached.
        prompts: Prompts.
        seeds: Each used with every prompt.
        folder: Where trajectories are kept.
        batch: Samples a pipeline call.
        branches: Denoiser calls a refresh: 2 with true CFG.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        prompts: Sequence[str],
        seeds: Sequence[int],
        folder: Path,
        *,
        batch: int,
        branches: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        journal = Journal(folder, work="recording")
        super().__init__(pipeline, prompts, seeds, journal, batch=batch, progress=progress)
        self.pipe, self._calls, self._branches = pipeline.pipe, 0, branches
        self._guidance = pipeline.recipe.guidance or 1.0
        for denoiser in identity.denoisers(pipeline.pipe).values():
            denoiser.register_forward_hook(self._count)

    @property
    def refreshes(self) -> int:
        """Denoiser refreshes of single samples so far."""
        return self._calls // self._branches

    def textbook(self, rows: Sequence[int], steps: int) -> Tensor:
        """Final latents of so few steps of textbook Adams–Bashforth."""
        with _multistep(self.pipe):
            return self.plain(rows, steps)

    def field(self, rows: Sequence[int]) -> Velocity:
        """The guided velocity of these samples, of a FLUX pipeline, which can be differentiated."""
        (denoiser,) = identity.denoisers(self.pipe).values()
        heard: list[dict[str, Any]] = []
        hook = denoiser.register_forward_pre_hook(
            lambda _module, _arguments, options: heard.append(options), with_kwargs=True
        )
        expected = self.velocity(rows, 0, self.full(rows, 0))
        hook.remove()

        def velocity(latents: Tensor, sigma: float) -> Tensor:
            own = [
                denoiser(**told | {"hidden_states": latents, "timestep": level})[0]
                for told in heard
                for level in [torch.full_like(told["timestep"], sigma)]
            ]
            return own[-1] + self._guidance * (own[0] - own[-1])

        with torch.no_grad():
            found = velocity(self.full(rows, 0), self.sigmas[0])
        if not torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
            raise SystemExit("the denoiser called alone does not answer as in its pipeline")
        return velocity

    def guided(self, rows: Sequence[int], step: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Velocities of FLUX, and the part of them that true CFG adds to the unconditional ones."""
        (denoiser,) = identity.denoisers(self.pipe).values()
        heard: list[Tensor] = []
        hook = denoiser.register_forward_hook(lambda _m, _a, output: heard.append(output[0]))
        try:
            guided = self.velocity(rows, step, latents)
        finally:
            hook.remove()
        return guided, guided - torch.cat(heard[1::2])

    def guidance(self, rows: Sequence[int], step: int) -> Tensor:
        """What true CFG adds to the unconditional velocity, on the full runs, of FLUX."""
        return self.guided(rows, step, self.full(rows, step))[1]

    def _count(self, _module: Any, _arguments: Any, output: Any) -> None:
        self._calls += len(output[0])


@contextmanager
def _multistep(pipe: Any) -> Generator[None]:
    """Hand the textbook's û to ``scheduler.step``, in every run of ``pipe`` meanwhile."""
    scheduler, method = pipe.scheduler, Multistep()

    def step(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
        nonlocal method
        place = scheduler.step_index or 0
        if place == 0:
            method = Multistep()
        sigma, following = (float(level) for level in scheduler.sigmas[place : place + 2])
        moved = method.average(model_output, sigma, following)
        return scheduler.step(moved, timestep, sample, *a, **k)

    interception = Interception(pipe, {"scheduler": {"step": step}}, nullcontext)
    try:
        yield
    finally:
        interception.remove()
