"""Diffusers pipelines: identify, record a full run, resume one, generate a sample."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import Tensor

from meancache_plan.core.finer import on_grid
from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.schedule.artifact import AdapterIdentity, Generation, ModelIdentity
from meancache_plan.source.diffusers import call, resumption, revision
from meancache_plan.source.diffusers import recording as steps
from meancache_plan.source.diffusers.interception import Answers
from meancache_plan.source.diffusers.recording import Last
from meancache_plan.source.recipe import Recipe
from meancache_runtime.hosts.diffusers import identity
from meancache_runtime.schedule import MAX_STEPS

Frames = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """One generated sample.

    Attributes:
        latents: What the last step reached, as the pipeline holds it, float32, on the CPU.
        frames: Pictures [F, height, width, 3], float32 in 0 … 1; F = 1 for an image.
        seconds: Wall time of the pipeline's whole call.
    """

    latents: Tensor
    frames: Frames
    seconds: float


class Pipeline:
    """A diffusers pipeline together with the recipe that its samples are made by."""

    def __init__(self, pipe: Any, recipe: Recipe, model_id: str, commit: str | None = None) -> None:
        self.pipe = pipe
        self.recipe = recipe
        self._id = model_id
        self._commit = commit
        self._arguments = call.arguments(recipe)
        self._from_pictures = call.takes_strength(pipe)
        self._answers = Answers()
        self._course: steps.Course | None = None

    @property
    def device(self) -> torch.device:
        """Where the denoiser runs."""
        return torch.device(self.pipe._execution_device)

    def identity(self) -> ModelIdentity:
        """What a schedule for this model says to recognise it."""
        return ModelIdentity(
            id=self._id,
            revision=self._commit,
            fingerprint=identity.fingerprint(self.pipe),
            pipeline=type(self.pipe).__name__,
            scheduler=type(self.pipe.scheduler).__name__,
            adapters=tuple(
                AdapterIdentity(name=adapter.name, digest=adapter.digest)
                for adapter in revision.adapters_in_effect(self.pipe)
            ),
        )

    def generation(self) -> Generation:
        """How samples are made, for the artifact."""
        recipe = self.recipe
        guidance = {} if recipe.guidance is None else {recipe.guidance_argument: recipe.guidance}
        return Generation(
            height=recipe.height,
            width=recipe.width,
            frames=recipe.frames,
            guidance=guidance,
            dtype=recipe.dtype,
        )

    def call_arguments(self) -> dict[str, Any]:
        """Every argument that the recipe passes to the pipeline's call; pictures by SHA-256."""
        return call.described(self.recipe)

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that decide a sample's bits."""
        libraries = (diffusers, torch, transformers)
        return {library.__name__: library.__version__ for library in libraries}

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's public configuration; an infinite number, which JSON has not, as text."""
        config = dict(self.pipe.scheduler.config)
        return {k: _finite(v) for k, v in sorted(config.items()) if not k.startswith("_")}

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        """Run all steps; return the trajectory and the mean seconds of a denoiser refresh.

        Args:
            prompt: The text.
            seed: Seed of the initial noise.
            finer_steps: Take so many steps in place of the recipe's, and return where these
                lead on the grid of the recipe's.

        Raises:
            UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
            InputError: The pipeline refuses the recipe's arguments, or the finer run has no
                more steps than the recipe, or other noise levels at its ends.
        """
        times: list[float] = []

        def tick() -> None:
            self._synchronize()
            times.append(time.perf_counter())

        found = self._recorded(prompt, seed, finer_steps, tick)
        return found.trajectory, (times[-1] - times[0]) / max(found.iterations - 1, 1)

    def record_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], *, finer_steps: int | None = None
    ) -> list[Trajectory]:
        """Run all steps of several samples in one call: a trajectory each, as ``record`` has it.

        Raises:
            UnsupportedSchedulerError, InputError: As ``record``.
        """
        return self._recorded(prompts, seeds, finer_steps, lambda: None).trajectory.split()

    def _recorded(
        self,
        prompt: str | Sequence[str],
        seed: int | Sequence[int],
        finer_steps: int | None,
        tick: Callable[[], None],
    ) -> steps.Recorded:
        """A whole run, seen on the recipe's own grid."""
        if finer_steps is None:
            return steps.record(self.pipe, self._answers, self._plain(prompt, seed), tick)
        if not self.recipe.steps < finer_steps <= MAX_STEPS:
            raise InputError(
                f"finer_steps {finer_steps}: a finer run has more steps than the recipe's "
                f"{self.recipe.steps}: choose {self.recipe.steps + 1} to {MAX_STEPS}"
            )
        if self._course is None:
            self._course = steps.probe(self.pipe, self._answers, self._plain(prompt, seed))
        run = self._plain(prompt, seed, steps=finer_steps)
        fine = steps.record(self.pipe, self._answers, run, tick)
        return fine._replace(trajectory=on_grid(fine.trajectory, *self._course))

    def resume(
        self,
        prompt: str | Sequence[str],
        seed: int | Sequence[int],
        step: int,
        latents: Tensor,
        until: int | None = None,
    ) -> Trajectory:
        """Take Euler steps ``step`` … ``until`` − 1 from given latents; the others cost nothing.

        The velocity at any state is ``resume(…, step, latents, step + 1).velocities[0]``. The
        denoiser runs ``until`` − ``step`` steps, and one more if no call of its form was seen
        before (``record`` shows it). Guidance that remembers earlier steps is not reproduced.

        Args:
            prompt: One text, or n texts for one batched call.
            seed: One seed, or n of them.
            step: First step taken, 0 … T − 1.
            latents: z at σ_step in the pipeline's own layout: [1, …] as ``record`` returns them,
                or [n, …].
            until: The step to stop before, step + 1 … T; T by default.

        Returns:
            The steps taken: ``sigmas`` σ_step … σ_until, ``latents`` [until − step + 1, n, …],
            ``velocities`` [until − step, n, …].

        Raises:
            InputError: A step is out of range, the latents' shape is not the pipeline's, it does
                not start from them, or it refuses the recipe's arguments.
            UnsupportedSchedulerError: The scheduler follows no flow, or adds fresh noise.
        """
        total = self.recipe.steps
        end = total if until is None else until
        if not 0 <= step < end <= total:
            raise InputError(f"steps {step} to {end}: choose 0 <= step < until <= {total}")
        wanted = latents, step, until
        run = self._plain(prompt, seed)
        try:
            return resumption.resume(self.pipe, self._answers, run, *wanted)
        except resumption.StartError:
            if latents.ndim == 2:  # joined ones, which no call takes
                raise
        run = self._plain(prompt, seed, latents=latents)
        return resumption.resume(self.pipe, self._answers, run, *wanted)

    def generate(self, prompt: str, seed: int, *, steps: int | None = None) -> Sample:
        """Make one sample, with the pipeline as it is now (attached or not).

        Args:
            prompt: The text.
            seed: Seed of the initial noise.
            steps: Another number of steps than the recipe's.
        """
        last = Last(self.pipe)
        self._synchronize()
        begin = time.perf_counter()
        with last.watch() as watching:
            result = self.run(prompt, seed, steps=steps, output_type="np", **watching)
        self._synchronize()
        seconds = time.perf_counter() - begin
        pictures = result.images if hasattr(result, "images") else result.frames[0]
        frames = np.clip(np.asarray(pictures, dtype=np.float32), 0.0, 1.0)
        return Sample(last.latents.detach().float().cpu(), frames, seconds)

    def final_latents(
        self, prompts: Sequence[str], seeds: Sequence[int], *, steps: int | None = None
    ) -> Tensor:
        """Final latents [n, …] of a batched call, which decodes nothing, where it can."""
        last = Last(self.pipe)
        output = call.least_output(self.pipe)
        with last.watch() as watching:
            self.run(prompts, seeds, steps=steps, output_type=output, **watching)
        return last.latents

    def run(
        self,
        prompt: str | Sequence[str],
        seed: int | Sequence[int],
        *,
        steps: int | None = None,
        **extra: Any,
    ) -> Any:
        """Call the pipeline with the recipe's arguments; the noise is drawn on the CPU.

        Several prompts, with a seed each, go into one batched call.
        """
        arguments, generator = self._arguments, call.generators(seed)
        if not isinstance(prompt, str):
            prompt = list(prompt)
            arguments = call.repeated(arguments, len(prompt), pictures=self._from_pictures)
        steps = self.recipe.steps if steps is None else steps
        try:
            with torch.no_grad(), call.also_seeded(seed, self.device):
                return self.pipe(
                    prompt=prompt,
                    num_inference_steps=steps,
                    generator=generator,
                    **arguments,
                    **extra,
                )
        except MeanCacheError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{type(self.pipe).__name__} refuses the recipe's arguments ({error}): change its "
                "guidance_argument, negative_prompt, size or [call], or the scheduler if that is "
                "what refuses"
            ) from error

    def _plain(
        self, prompt: str | Sequence[str], seed: int | Sequence[int], **extra: Any
    ) -> Callable[[], Any]:
        """A call of the pipeline that decodes nothing, where it can."""
        output = call.least_output(self.pipe)
        return lambda: self.run(prompt, seed, output_type=output, **extra)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
