"""Diffusers pipelines: identify, record a full run, resume one, generate a sample."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import Tensor

from meancache_plan.core.finer_run import on_grid
from meancache_plan.core.grid import check_finer_steps
from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.schedule.artifact import Generation, ModelIdentity
from meancache_plan.source.any_device import on_any_device
from meancache_plan.source.diffusers import call_arguments as calls
from meancache_plan.source.diffusers import pipeline_identity, resumption
from meancache_plan.source.diffusers import recording as steps
from meancache_plan.source.diffusers.call_arguments import also_seeded, without_bar
from meancache_plan.source.diffusers.devices import computed_on
from meancache_plan.source.diffusers.interception import Answers
from meancache_plan.source.diffusers.recording import Last
from meancache_plan.source.recipe import Recipe

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
    """A diffusers pipeline together with the recipe that its samples are made by.

    Args:
        pipe, recipe: The pipeline, not attached, and how its samples are made.
        model_id, commit: The name that a schedule knows the model by, and its version.
        values: Arguments of the call that no recipe can hold, such as tensors.
        any_device: Leave open what computes, so that other kinds of devices may share its work.
    """

    def __init__(
        self,
        pipe: Any,
        recipe: Recipe,
        model_id: str,
        commit: str | None = None,
        values: Mapping[str, Any] | None = None,
        any_device: bool = False,
    ) -> None:
        self.pipe = pipe
        self.recipe = recipe
        self.any_device = any_device
        self._id = model_id
        self._commit = commit
        self._values = dict(values or {})
        self._arguments = calls.fitting(pipe, calls.arguments(recipe) | self._values)
        self._from_pictures = calls.takes_strength(pipe)
        self._answers = Answers()
        self._course: steps.Course | None = None
        self._may_batch = False

    @property
    def device(self) -> torch.device:
        """Where the denoiser runs."""
        return torch.device(self.pipe._execution_device)

    def identity(self) -> ModelIdentity:
        """What a schedule for this model says to recognise it."""
        return pipeline_identity.model_identity(self.pipe, self._id, self._commit)

    def generation(self) -> Generation:
        """How samples are made, for the artifact."""
        return pipeline_identity.generation(self.pipe, self.recipe, self._arguments)

    def call_arguments(self) -> dict[str, Any]:
        """Every argument that the recipe passes to the pipeline's call; pictures by SHA-256."""
        return calls.described(self.recipe, self._values)

    def num_inference_steps(self) -> int:
        """The recipe's."""
        return self.recipe.steps

    def versions(self) -> dict[str, str]:
        """What decides a sample's bits: libraries, devices, and on a CPU the threads."""
        libraries = {each.__name__: each.__version__ for each in (diffusers, torch, transformers)}
        found = libraries | computed_on(self.pipe)
        return on_any_device(found) if self.any_device else found

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's public configuration; an infinite number, which JSON has not, as text."""
        return pipeline_identity.scheduler_config(self.pipe)

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
        return self._recorded(prompt, seed, finer_steps)

    def record_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], *, finer_steps: int | None = None
    ) -> tuple[list[Trajectory], float]:
        """Run all steps of several samples in one call.

        Returns:
            A trajectory each, as ``record`` has it, and a sample's share of the mean seconds of a
            denoiser refresh.

        Raises:
            UnsupportedSchedulerError, InputError: As ``record``; or a batch has other samples.
        """
        together, seconds = self._recorded(prompts, seeds, finer_steps)
        samples = together.split()
        if not self._may_batch:
            run = self._plain(prompts[-1], seeds[-1])
            alone = partial(steps.probe, self.pipe, self._answers, run)
            self._may_batch = steps.check_batch(self.pipe, samples, len(prompts), alone)
        return samples, seconds / len(samples)

    def _recorded(
        self, prompt: str | Sequence[str], seed: int | Sequence[int], finer_steps: int | None
    ) -> tuple[Trajectory, float]:
        """A whole run, seen on the recipe's own grid, and the mean seconds of its refreshes."""
        times: list[float] = []

        def tick() -> None:
            self._synchronize()
            times.append(time.perf_counter())

        check_finer_steps(finer_steps, self.recipe.steps)
        if finer_steps is not None and self._course is None:
            self._course = steps.probe(self.pipe, self._answers, self._plain(prompt, seed))
        run = self._plain(prompt, seed, steps=finer_steps)
        found = steps.record(self.pipe, self._answers, run, tick)
        seconds = (times[-1] - times[0]) / max(found.iterations - 1, 1)
        if finer_steps is None or self._course is None:
            return found.trajectory, seconds
        course = self._course
        return on_grid(found.trajectory, course.sigmas, course.switches, course.calls), seconds

    def course(self, prompt: str, seed: int) -> steps.Course:
        """What a run would be: the denoiser runs once for each form of its calls, at most."""
        return steps.probe(self.pipe, self._answers, self._plain(prompt, seed))

    def asked(self, recipe: Recipe) -> "Pipeline":
        """The same pipeline, asked for samples by another recipe, of the same dtype."""
        return Pipeline(self.pipe, recipe, self._id, self._commit, self._values, self.any_device)

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

    def generate(
        self,
        prompt: str,
        seed: int,
        *,
        steps: int | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> Sample:
        """Make one sample, with the pipeline as it is now (attached or not).

        Args:
            prompt: The text.
            seed: Seed of the initial noise.
            steps: Another number of steps than the recipe's.
            after_step: Called after each of them.
        """
        last = Last(self.pipe, after_step)
        self._synchronize()
        begin = time.perf_counter()
        with last.watch() as watching:
            result = self.run(prompt, seed, steps=steps, output_type="np", **watching)
        self._synchronize()
        seconds = time.perf_counter() - begin
        frames = np.asarray(calls.pictures_of(self.pipe, result), dtype=np.float32)
        return Sample(last.latents.detach().float().cpu(), np.clip(frames, 0.0, 1.0), seconds)

    def final_latents(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Final latents [n, …] of a batched call, which decodes nothing, where it can."""
        last = Last(self.pipe, after_step)
        output = calls.least_output(self.pipe)
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
        arguments, generator = self._arguments, calls.generators(seed)
        if not isinstance(prompt, str):
            prompt = list(prompt)
            arguments = calls.repeated(arguments, len(prompt), pictures=self._from_pictures)
        steps = self.recipe.steps if steps is None else steps
        asked = {"prompt": prompt, "num_inference_steps": steps, "generator": generator}
        try:
            with torch.no_grad(), also_seeded(seed, self.device), without_bar(self.pipe):
                return self.pipe(**asked, **arguments, **extra)
        except MeanCacheError:
            raise
        except (TypeError, ValueError) as error:
            count = 1 if isinstance(prompt, str) else len(prompt)
            raise calls.refusal(self.pipe, count, error) from error

    def _plain(
        self, prompt: str | Sequence[str], seed: int | Sequence[int], **extra: Any
    ) -> Callable[[], Any]:
        """A call of the pipeline that decodes nothing, where it can."""
        output = calls.least_output(self.pipe)
        return lambda: self.run(prompt, seed, output_type=output, **extra)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
