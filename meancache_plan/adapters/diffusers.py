"""Diffusers pipelines: load, identify, record a full run, generate a sample."""

import hashlib
import re
import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
import transformers
from accelerate import PartialState
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor

from meancache_plan import catalog
from meancache_plan.artifact import Generation, ModelIdentity
from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.recipe import Recipe
from meancache_plan.record import Tape, Trajectory
from meancache_runtime import identity
from meancache_runtime.intercept import Interception

OFFLOADS = ("none", "model", "sequential")
"""Which parts of a pipeline wait on the CPU: nothing, whole models, or single layers."""

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

    def __init__(
        self, pipe: Any, recipe: Recipe, model_id: str, revision: str | None = None
    ) -> None:
        self.pipe = pipe
        self.recipe = recipe
        self._id = model_id
        self._revision = revision
        self._arguments = _call_arguments(recipe)

    @property
    def device(self) -> torch.device:
        """Where the denoiser runs."""
        return torch.device(self.pipe._execution_device)

    def identity(self) -> ModelIdentity:
        """What a schedule for this model says to recognise it."""
        return ModelIdentity(
            id=self._id,
            revision=self._revision,
            fingerprint=identity.fingerprint(self.pipe),
            pipeline=type(self.pipe).__name__,
            scheduler=type(self.pipe.scheduler).__name__,
            adapters=_active_adapters(self.pipe),
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
        """Every argument that the recipe passes to the pipeline's call."""
        return dict(sorted(self._arguments.items()))

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that decide a sample's bits."""
        libraries = (diffusers, torch, transformers)
        return {library.__name__: library.__version__ for library in libraries}

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's public configuration."""
        config = dict(self.pipe.scheduler.config)
        return {k: v for k, v in sorted(config.items()) if not k.startswith("_")}

    def record(self, prompt: str, seed: int) -> tuple[Trajectory, float]:
        """Run all steps; return the trajectory and the mean seconds of a step.

        Raises:
            UnsupportedSchedulerError: The scheduler takes no plain Euler steps.
            InputError: The pipeline refuses the recipe's arguments.
        """
        identity.check_euler(self.pipe.scheduler)
        scheduler = self.pipe.scheduler
        tape: Tape | None = None
        times: list[float] = []

        def tap(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
            nonlocal tape
            if tape is None:
                tape = Tape([float(sigma) for sigma in scheduler.sigmas], sample)
            result = scheduler.step(model_output, timestep, sample, *a, **k)
            tape.append(model_output, result[0])
            if len(times) == 0 or scheduler.step_index == len(tape.sigmas) - 1:
                self._synchronize()
                times.append(time.perf_counter())
            return result

        interception = Interception(self.pipe, {"scheduler": {"step": tap}}, nullcontext)
        try:
            self.run(prompt, seed, output_type="latent")
        finally:
            interception.remove()
        if tape is None:
            raise InputError(
                f"{type(self.pipe).__name__} made no scheduler step: nothing to record"
            )
        trajectory = tape.trajectory()
        return trajectory, (times[-1] - times[0]) / max(len(trajectory.sigmas) - 2, 1)

    def generate(self, prompt: str, seed: int, *, steps: int | None = None) -> Sample:
        """Make one sample, with the pipeline as it is now (attached or not).

        Args:
            prompt: The text.
            seed: Seed of the initial noise.
            steps: Another number of steps than the recipe's.
        """
        last: list[Tensor] = []

        def keep(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            last[:] = [tensors["latents"]]
            return tensors

        self._synchronize()
        begin = time.perf_counter()
        result = self.run(prompt, seed, steps=steps, output_type="np", callback_on_step_end=keep)
        self._synchronize()
        seconds = time.perf_counter() - begin
        pictures = result.images if hasattr(result, "images") else result.frames[0]
        frames = np.clip(np.asarray(pictures, dtype=np.float32), 0.0, 1.0)
        return Sample(last[0].detach().float().cpu(), frames, seconds)

    def run(self, prompt: str, seed: int, *, steps: int | None = None, **extra: Any) -> Any:
        """Call the pipeline with the recipe's arguments; the noise is drawn on the CPU."""
        generator = torch.Generator("cpu").manual_seed(seed)
        steps = self.recipe.steps if steps is None else steps
        try:
            with torch.no_grad():
                return self.pipe(
                    prompt=prompt,
                    num_inference_steps=steps,
                    generator=generator,
                    **self._arguments,
                    **extra,
                )
        except MeanCacheError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{type(self.pipe).__name__} refuses the recipe's arguments ({error}): change its "
                "guidance_argument, negative_prompt, size or [call]"
            ) from error

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def load(
    model: str, recipe: Recipe, *, device: str | None = None, offload: str = "none"
) -> Pipeline:
    """Load a pipeline from a directory, a hub id, or ``"reference"``.

    Args:
        model: What to load.
        recipe: How its samples are made; its dtype is the weights'.
        device: Such as ``"cuda:1"``; by default what accelerate finds best.
        offload: ``"none"``, ``"model"`` or ``"sequential"`` CPU offload, as diffusers has them.

    Raises:
        InputError: There is no such pipeline, or the device does not exist.
    """
    if offload not in OFFLOADS:
        raise InputError(f"--offload {offload!r}: choose from {', '.join(OFFLOADS)}")
    source = str(catalog.reference_pipeline()) if model == catalog.REFERENCE else model
    try:
        with warnings.catch_warnings():  # torch_dtype: the name that all versions know
            warnings.simplefilter("ignore", FutureWarning)
            pipe: Any = DiffusionPipeline.from_pretrained(
                source, torch_dtype=getattr(torch, recipe.dtype), revision=recipe.revision
            )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{model}: cannot be loaded as a diffusers pipeline ({reason}); give a directory with "
            "a model_index.json, a hub id, or nothing for the reference pipeline"
        ) from error
    pipe.set_progress_bar_config(disable=True)
    _place(pipe, device, offload)
    if Path(source).is_dir():
        return Pipeline(pipe, recipe, Path(source).resolve().name, _weights_revision(Path(source)))
    return Pipeline(pipe, recipe, model, _hub_commit(pipe) or recipe.revision)


def quieten() -> None:
    """Let the libraries draw no progress bars of their own."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _place(pipe: Any, device: str | None, offload: str) -> None:
    try:
        if offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        elif offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        else:
            pipe.to(device or PartialState().device)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"--device {device or 'default'} with --offload {offload}: not usable here "
            f"({str(error).splitlines()[0]})"
        ) from error


def _call_arguments(recipe: Recipe) -> dict[str, Any]:
    """The pipeline's keyword arguments that a recipe fixes; what it leaves open is not passed."""
    arguments = {
        "height": recipe.height,
        "width": recipe.width,
        "num_frames": recipe.frames,
        recipe.guidance_argument: recipe.guidance,
        "negative_prompt": recipe.negative_prompt,
    }
    return {k: v for k, v in arguments.items() if v is not None} | dict(recipe.call)


def _weights_revision(folder: Path) -> str:
    """Tell trainings of a local model apart: SHA-256 over its weight files' names, sizes and ends.

    Of each file the first and last MiB count: enough, as training changes every tensor.
    """
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".safetensors", ".bin"):
            size = file.stat().st_size
            with file.open("rb") as stream:
                head = stream.read(1 << 20)
                stream.seek(max(0, size - (1 << 20)))
                tail = stream.read()
            total.update(f"{file.relative_to(folder).as_posix()} {size}\n".encode() + head + tail)
    return f"weights-sha256:{total.hexdigest()}"


def _hub_commit(pipe: Any) -> str | None:
    """The commit of the hub snapshot that a pipeline's denoiser was loaded from."""
    for module in identity.denoisers(pipe).values():
        found = re.search(r"snapshots[/\\]([0-9a-f]{40})", str(module.config.get("_name_or_path")))
        if found is not None:
            return found[1]
    return None


def _active_adapters(pipe: Any) -> tuple[str, ...]:
    """Names of the LoRA adapters in use."""
    if not getattr(pipe, "peft_config", None) and not hasattr(pipe, "get_active_adapters"):
        return ()
    try:
        return tuple(sorted(pipe.get_active_adapters()))
    except (ValueError, AttributeError):  # diffusers: no PEFT backend, so no adapter either
        return ()
